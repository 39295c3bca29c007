/** `micronova image`: bringing images into the cloud, with progress. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { inspectFile } from '#services/compute/inspect-file.ts';
import { CommandError } from './command-error.ts';
import { OpenStack } from './openstack.ts';
import { ProgressBar } from './progress-bar.ts';

export interface AddOptions {
  readonly data: string;
  readonly name?: string;
  readonly format?: string;
  readonly public?: boolean;
}

/** Uploads a file and answers the image's id. */
export async function uploadImage(
  cloud: OpenStack,
  path: string,
  options: { readonly name: string; readonly format: string; readonly isPublic: boolean },
): Promise<string> {
  const { size } = await stat(path);
  const { body } = await cloud.request<{ id: string }>('POST', '/image/v2/images', {
    json: {
      name: options.name,
      disk_format: options.format,
      container_format: 'bare',
      visibility: options.isPublic ? 'public' : 'private',
    },
  });
  const bar = new ProgressBar(`uploading ${options.name}`);
  // Also where nobody has begun to read it when the cloud goes.
  await using file = await open(path);
  let done = 0;
  const counted = async function* () {
    for await (const chunk of file.createReadStream({ highWaterMark: 1 << 20, autoClose: false })) {
      done += (chunk as Buffer).length;
      bar.show(done, size);
      yield chunk as Buffer;
    }
  };
  try {
    await cloud.request('PUT', `/image/v2/images/${body.id}/file`, {
      stream: Readable.toWeb(Readable.from(counted(), { objectMode: false })) as ReadableStream,
      headers: { 'content-type': 'application/octet-stream' },
    });
    bar.end();
    return body.id;
  } catch (error) {
    bar.end();
    // Where the cloud is gone, that is what is told.
    await cloud.request('DELETE', `/image/v2/images/${body.id}`).catch(() => undefined);
    throw error;
  }
}

export async function add(path: string, options: AddOptions): Promise<void> {
  if (!existsSync(path)) throw new CommandError(`there is no file ${path}`);
  const format = options.format ?? (await inspectFile(path)).format;
  const cloud = await OpenStack.connect(options.data, options.public ? 'micronova-admin' : 'micronova');
  const name = options.name ?? basename(path).replace(/\.(qcow2|img|raw|vmdk|vdi|vhdx?)$/, '');
  const id = await uploadImage(cloud, path, { name, format, isPublic: options.public ?? false });
  process.stdout.write(`image ${id} (${name}, ${format})\n`);
}

interface KnownImage {
  readonly url: string;
  /** A file of `<hash>  <name>` lines beside the image, and which hash it has. */
  readonly sums: { readonly url: string; readonly algorithm: 'md5' | 'sha256' | 'sha512' };
}

const CIRROS = 'https://download.cirros-cloud.net/0.6.3';
const DEBIAN = 'https://cloud.debian.org/images/cloud';
const UBUNTU = 'https://cloud-images.ubuntu.com';

/** Images that their makers publish for clouds. */
const KNOWN: Readonly<Record<string, KnownImage>> = {
  cirros: { url: `${CIRROS}/cirros-0.6.3-x86_64-disk.img`, sums: { url: `${CIRROS}/MD5SUMS`, algorithm: 'md5' } },
  'debian-12': {
    url: `${DEBIAN}/bookworm/latest/debian-12-genericcloud-amd64.qcow2`,
    sums: { url: `${DEBIAN}/bookworm/latest/SHA512SUMS`, algorithm: 'sha512' },
  },
  'debian-13': {
    url: `${DEBIAN}/trixie/latest/debian-13-genericcloud-amd64.qcow2`,
    sums: { url: `${DEBIAN}/trixie/latest/SHA512SUMS`, algorithm: 'sha512' },
  },
  'ubuntu-24.04': {
    url: `${UBUNTU}/noble/current/noble-server-cloudimg-amd64.img`,
    sums: { url: `${UBUNTU}/noble/current/SHA256SUMS`, algorithm: 'sha256' },
  },
};

export async function fetchKnown(name: string, options: AddOptions): Promise<void> {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
  if (!known) throw new CommandError(`no image is known as ${name}; known: ${Object.keys(KNOWN).join(', ')}`);
  const cloud = await OpenStack.connect(options.data, options.public ? 'micronova-admin' : 'micronova');
  const folder = await mkdtemp(join(tmpdir(), 'micronova-fetch-'));
  try {
    const path = join(folder, name);
    await downloadChecked(known, path);
    const { format } = await inspectFile(path);
    const id = await uploadImage(cloud, path, { name, format, isPublic: options.public ?? false });
    process.stdout.write(`image ${id} (${name}, ${format})\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function downloadChecked({ url, sums }: KnownImage, path: string): Promise<void> {
  const expected = await publishedHash(url, sums.url);
  const response = await reach(url);
  const total = Number(response.headers.get('content-length') ?? 0);
  const bar = new ProgressBar(`downloading ${basename(url)}`);
  const hash = createHash(sums.algorithm);
  const file = await open(path, 'wx', 0o600);
  try {
    let done = 0;
    for await (const chunk of response.body ?? []) {
      const bytes = chunk as Uint8Array;
      hash.update(bytes);
      await file.write(bytes);
      done += bytes.length;
      bar.show(done, total);
    }
  } finally {
    bar.end();
    await file.close();
  }
  if (hash.digest('hex') !== expected) {
    throw new CommandError(`${url} does not have the ${sums.algorithm} that its maker publishes; it was not added`);
  }
}

async function publishedHash(imageUrl: string, sumsUrl: string): Promise<string> {
  const name = basename(imageUrl);
  const lines = (await (await reach(sumsUrl)).text()).split('\n');
  const line = lines.find((each) => each.trim().split(/\s+\*?/)[1] === name);
  if (!line) throw new CommandError(`${sumsUrl} does not list ${name}`);
  return line.trim().split(/\s+/)[0] ?? '';
}

async function reach(url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(3_600_000) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new CommandError(
      `cannot reach ${new URL(url).host} (${cause}). Without a network use 'micronova image add FILE'.`,
    );
  }
  if (!response.ok) throw new CommandError(`${url} answers ${response.status}`);
  return response;
}
