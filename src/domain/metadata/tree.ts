/** What the metadata service answers to a path. */
import { EC2_VERSIONS, ec2Files } from './ec2.ts';
import type { GuestFacts } from './facts.ts';
import { type MetadataFiles, OPENSTACK_VERSIONS, openstackFiles } from './openstack.ts';

export interface MetadataAnswer {
  readonly type: 'application/json' | 'text/plain; charset=UTF-8' | 'application/octet-stream';
  readonly body: Buffer;
}

/** Null where there is nothing. A folder answers the names in it, a line each. */
export function metadataAt(facts: GuestFacts, path: string): MetadataAnswer | null {
  const [first = '', ...rest] = path.split('/').filter((part) => part !== '' && part !== '.');
  if (first === '') return text([...EC2_VERSIONS, 'openstack'].join('\n'));
  if (first !== 'openstack') return contains(EC2_VERSIONS, first) ? below(ec2Files(facts), rest, facts) : null;
  const [version = '', ...names] = rest;
  if (version === '') return text(OPENSTACK_VERSIONS.join('\n'));
  return contains(OPENSTACK_VERSIONS, version) ? below(openstackFiles(facts), names, facts) : null;
}

function below(files: MetadataFiles, parts: readonly string[], { key }: GuestFacts): MetadataAnswer | null {
  const path = parts.join('/');
  const content = Object.hasOwn(files, path) ? files[path] : undefined;
  if (typeof content === 'string') return path.endsWith('.json') ? json(content) : text(content);
  if (content) return { type: 'application/octet-stream', body: Buffer.from(content.base64, 'base64') };
  // Names of keys stand behind their number, as nowhere else.
  if (path === 'meta-data/public-keys' && key) return text(`0=${key.name}`);
  const prefix = path === '' ? '' : `${path}/`;
  const names = Object.keys(files).flatMap((name) => {
    if (!name.startsWith(prefix)) return [];
    const [head = '', ...more] = name.slice(prefix.length).split('/');
    return [more.length > 0 ? `${head}/` : head];
  });
  return names.length === 0 ? null : text([...new Set(names)].join('\n'));
}

function contains(versions: readonly string[], version: string): boolean {
  return versions.includes(version);
}

function json(content: string): MetadataAnswer {
  return { type: 'application/json', body: Buffer.from(content) };
}

function text(content: string): MetadataAnswer {
  return { type: 'text/plain; charset=UTF-8', body: Buffer.from(content) };
}
