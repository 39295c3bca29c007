/**
 * A cloud to measure: `bin/micronova up` in a process of its own, spoken to through its public API as anybody would.
 */
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { load } from 'js-yaml';
import { type Child, ROOT, startChild } from './child.ts';
import { exchange, put, type Response } from './http.ts';

export interface CloudOptions {
  readonly driver: 'fake' | 'qemu';
  readonly hosts?: number;
  /** Words for Node itself, such as `--cpu-prof`. */
  readonly nodeOptions?: string;
}

/** As much of a server as benchmarks look at. */
export interface ServerView {
  readonly id: string;
  readonly status: string;
  readonly adminPass?: string;
  readonly fault?: { readonly message: string };
  readonly 'OS-EXT-STS:task_state': string | null;
}

const POLL_MS = 2;
const PATIENCE_MS = 180_000;
const UNLIMITED = { MICRONOVA_QUOTA_INSTANCES: '-1', MICRONOVA_QUOTA_CORES: '-1', MICRONOVA_QUOTA_RAM_MIB: '-1' };
const MICROVERSION = 'compute 2.84';

/** Starts a cloud on the folder and logs in as its administrator. Quotas are lifted: they are not what is measured. */
export function startCloud(dir: string, options: CloudOptions): Promise<BenchCloud> {
  const args = ['up', '--driver', options.driver, '--hosts', String(options.hosts ?? 1), '--stop-guests'];
  return entered(dir, args, options.nodeOptions === undefined ? {} : { NODE_OPTIONS: options.nodeOptions });
}

/** Starts one more process of a cloud of many, with every role and some simulated hosts; their record and their bus make it one. */
export function startMember(
  dir: string,
  name: string,
  shared: { readonly database: string; readonly bus: string; readonly images: string; readonly login: string },
  hosts: number,
): Promise<BenchCloud> {
  const { database, bus, images, login } = shared;
  const settings = { DATABASE: database, BUS: bus, IMAGE_STORE: images, DRIVER: 'fake', HOSTS: hosts, HOST_NAME: name };
  const env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`MICRONOVA_${key}`, `${value}`]));
  return entered(dir, ['serve', '--roles', 'api,conductor,scheduler,compute'], env, login);
}

async function entered(
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  login = dir,
): Promise<BenchCloud> {
  const all = [...args, '--data', dir, '--listen', '127.0.0.1:0'];
  const child = await startChild(join(ROOT, 'bin/micronova'), all, {
    cwd: ROOT,
    env: { ...process.env, ...UNLIMITED, ...env },
  });
  const url = /^ready (\S+)/.exec(child.ready)?.[1];
  if (url === undefined) throw new Error(`not a ready line: ${child.ready}`);
  try {
    return new BenchCloud(dir, url, child, await logIn(login, url));
  } catch (error) {
    await child.end();
    throw error;
  }
}

interface LaunchOptions {
  readonly flavor?: string;
  readonly name?: string;
  readonly network?: string | undefined;
}

export class BenchCloud {
  readonly dir: string;
  readonly url: string;
  readonly pid: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly #child: Child;

  constructor(dir: string, url: string, child: Child, token: string) {
    this.dir = dir;
    this.url = url;
    this.pid = child.pid;
    this.#child = child;
    this.headers = { 'x-auth-token': token, 'openstack-api-version': MICROVERSION };
  }

  get servers(): string {
    return `${this.url}/compute/v2.1/servers`;
  }

  /** Sends JSON, reads JSON. Throws for any status of 400 and above. */
  async request<Body>(method: string, path: string, json?: unknown): Promise<{ response: Response; body: Body }> {
    const response = await exchange(method, this.url + path, {
      headers: { ...this.headers, ...(json !== undefined && { 'content-type': 'application/json' }) },
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    if (response.status >= 400) throw new Error(`${method} ${path}: ${response.status} ${response.text.slice(0, 500)}`);
    // The shape is what the API documents for this path; the caller names it.
    return { response, body: (response.text === '' ? undefined : JSON.parse(response.text)) as Body };
  }

  /** Uploads a file as a new image. */
  async addImage(path: string, name: string, format: 'qcow2' | 'raw'): Promise<string> {
    const id = await this.reserveImage(name, format);
    const status = await this.upload(id, path);
    if (status !== 204) throw new Error(`upload of ${name}: ${status}`);
    return id;
  }

  async reserveImage(name: string, format: string): Promise<string> {
    const record = { name, disk_format: format, container_format: 'bare' };
    return (await this.request<{ id: string }>('POST', '/image/v2/images', record)).body.id;
  }

  upload(id: string, path: string): Promise<number> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(statSync(path).size) };
    const body = createReadStream(path, { highWaterMark: 2 ** 20 });
    return put(`${this.url}/image/v2/images/${id}/file`, { ...this.headers, ...headers }, body);
  }

  /** A network with DHCP; answers its id. */
  async addNetwork(name: string, cidr: string): Promise<string> {
    const { body } = await this.request<{ network: { id: string } }>('POST', '/network/v2.0/networks', {
      network: { name },
    });
    const subnet = { network_id: body.network.id, ip_version: 4, cidr };
    await this.request('POST', '/network/v2.0/subnets', { subnet });
    return body.network.id;
  }

  /** Asks for servers, on no network where none is named; they are being built when this returns. */
  async launch(imageId: string, options: LaunchOptions & { readonly count?: number } = {}): Promise<ServerView> {
    const { flavor = '42', name = 'bench', count = 1, network } = options;
    const networks = network === undefined ? 'none' : [{ uuid: network }];
    const server = { name, imageRef: imageId, flavorRef: flavor, networks, min_count: count, max_count: count };
    return (await this.request<{ server: ServerView }>('POST', '/compute/v2.1/servers', { server })).body.server;
  }

  async launchActive(imageId: string, options: LaunchOptions = {}): Promise<ServerView> {
    const server = await this.launch(imageId, options);
    await this.untilStatus(server.id, 'ACTIVE');
    return server;
  }

  /** Asks again and again until the server is as wanted and no task is in flight. Throws when it is in ERROR instead. */
  async untilStatus(id: string, status: string): Promise<void> {
    await this.#until(async () => {
      const { server } = (await this.request<{ server: ServerView }>('GET', `/compute/v2.1/servers/${id}`)).body;
      if (server.status === 'ERROR') throw new Error(`server ${id}: ${server.fault?.message}`);
      return server.status === status && server['OS-EXT-STS:task_state'] === null;
    }, `server ${id} ${status}`);
  }

  /** Deletes servers and waits until they are 404. */
  async removeServers(ids: readonly string[]): Promise<void> {
    await Promise.all(ids.map((id) => this.request('DELETE', `/compute/v2.1/servers/${id}`)));
    for (const id of ids) {
      await this.#until(
        async () => (await exchange('GET', `${this.servers}/${id}`, { headers: this.headers })).status === 404,
        `server ${id} gone`,
      );
    }
  }

  /** Asks for a snapshot; answers the image's id. */
  async snapshot(serverId: string, name: string): Promise<string> {
    const path = `/compute/v2.1/servers/${serverId}/action`;
    const { body } = await this.request<{ image_id: string }>('POST', path, { createImage: { name } });
    return body.image_id;
  }

  async untilImageActive(id: string): Promise<{ readonly size: number }> {
    let size = 0;
    await this.#until(async () => {
      const { body } = await this.request<{ status: string; size: number | null }>('GET', `/image/v2/images/${id}`);
      size = body.size ?? 0;
      return body.status === 'active';
    }, `image ${id} active`);
    return { size };
  }

  removeImage(id: string): Promise<unknown> {
    return this.request('DELETE', `/image/v2/images/${id}`);
  }

  /** Ends the process of the cloud, and guests that were not removed. */
  async close(): Promise<void> {
    await this.#child.end();
  }

  async #until(check: () => Promise<boolean>, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!(await check())) {
      if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
      await delay(POLL_MS);
    }
  }
}

/** Asks for a token as the administrator whose password is in the folder's `clouds.yaml`. */
export async function logIn(dir: string, url: string): Promise<string> {
  const text = readFileSync(join(dir, 'clouds.yaml'), 'utf8');
  const { clouds } = load(text) as { clouds: Record<string, { auth: { username: string; password: string } }> };
  const auth = clouds['micronova-admin']?.auth;
  const domain = { id: 'default' };
  const password = { user: { name: auth?.username, domain, password: auth?.password } };
  const scope = { project: { name: 'admin', domain } };
  const response = await exchange('POST', `${url}/identity/v3/auth/tokens`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ auth: { identity: { methods: ['password'], password }, scope } }),
  });
  const token = response.headers['x-subject-token'];
  if (typeof token !== 'string') throw new Error(`log in: ${response.status} ${response.text}`);
  return token;
}
