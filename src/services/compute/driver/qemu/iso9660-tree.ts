/**
 * The files of an ISO 9660 image as a tree, before anything is said about sectors.
 *
 * A path is refused when some reader could see it under another name: what passes here has the same name on Linux with
 * Rock Ridge, on Linux with Joliet and on Windows. The limits keep every directory record below its 255 bytes.
 */

import { DriverError } from '../driver-error.ts';

/** Joliet has 64 characters for a name; Linux and Windows drop a full stop at its end. */
const NAME = /^[A-Za-z0-9._-]{0,59}[A-Za-z0-9_-]$/;
/** ECMA-119 has eight levels, of which the root is one. */
const MAX_COMPONENTS = 8;
const MAX_FILES = 512;

/** A file of the image. */
export interface IsoFile {
  readonly kind: 'file';
  readonly name: string;
  readonly content: Uint8Array;
}

/** A folder of the image; entries are in the order of their names, so that equal files make equal images. */
export interface IsoDirectory {
  readonly kind: 'directory';
  readonly name: string;
  readonly entries: readonly IsoEntry[];
}

export type IsoEntry = IsoFile | IsoDirectory;

/** A folder while paths are still being added. */
interface Growing {
  readonly folders: Map<string, Growing>;
  readonly files: Map<string, Uint8Array>;
}

/** The tree of `files` (path, parts separated by `/` → content; text becomes UTF-8). Throws `bad_spec`. */
export function isoTree(files: Readonly<Record<string, string | Uint8Array>>): IsoDirectory {
  const paths = Object.entries(files);
  if (paths.length > MAX_FILES) {
    throw new DriverError('bad_spec', `ISO image: ${paths.length} files; there may be ${MAX_FILES}`);
  }
  const root: Growing = { folders: new Map(), files: new Map() };
  for (const [path, content] of paths) add(root, path, content);
  return frozen('', root);
}

function add(root: Growing, path: string, content: string | Uint8Array): void {
  const refused = (why: string) => new DriverError('bad_spec', `ISO image: the path ${JSON.stringify(path)} ${why}`);
  const components = path.split('/');
  if (components.length > MAX_COMPONENTS) throw refused(`is deeper than ${MAX_COMPONENTS} levels`);
  if (!components.every((name) => NAME.test(name))) {
    throw refused('has a part that is not 1 to 60 letters, digits, "-", "_" or inner "."');
  }
  const name = components.pop() ?? '';
  let folder = root;
  for (const component of components) {
    if (folder.files.has(component)) throw refused('goes through a file');
    const next = folder.folders.get(component) ?? { folders: new Map(), files: new Map() };
    folder.folders.set(component, next);
    folder = next;
  }
  if (folder.folders.has(name)) throw refused('is a folder, too');
  folder.files.set(name, typeof content === 'string' ? Buffer.from(content) : content);
}

function frozen(name: string, { folders, files }: Growing): IsoDirectory {
  const entries: IsoEntry[] = [
    ...Array.from(folders, ([each, folder]) => frozen(each, folder)),
    ...Array.from(files, ([each, content]): IsoFile => ({ kind: 'file', name: each, content })),
  ];
  return { kind: 'directory', name, entries: entries.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}
