/**
 * The cloud as its own command line uses it: through the same HTTP API as everybody, with the credentials in
 * `clouds.yaml`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { trustAuthority } from '#http/trust.ts';
import { CommandError } from './command-error.ts';

/** The compute microversion that the command line speaks. */
const MICROVERSION = '2.84';
const PAGE = 100;

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
  readonly requestId: string;
}

export interface RequestOptions {
  readonly json?: unknown;
  readonly stream?: ReadableStream | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the cloud says to a request that it does not do. */
export class Refused extends CommandError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Auth {
  readonly auth_url: string;
  readonly username: string;
  readonly password: string;
  readonly project_name: string;
}

export class OpenStack {
  readonly url: string;
  readonly #token: string;

  private constructor(url: string, token: string) {
    this.url = url;
    this.#token = token;
  }

  /** Logs in as a cloud of `<dataDir>/clouds.yaml`. Throws `CommandError` where nothing runs there. */
  static async connect(dataDir: string, cloud: 'micronova' | 'micronova-admin'): Promise<OpenStack> {
    const path = join(dataDir, 'clouds.yaml');
    if (!existsSync(path))
      throw new CommandError(`no cloud in ${dataDir}: start one with 'micronova up --data ${dataDir}'`);
    const { clouds } = load(readFileSync(path, 'utf8')) as {
      clouds: Record<string, { auth: Auth; cacert?: string }>;
    };
    const { auth, cacert } = clouds[cloud] ?? {};
    if (!auth) throw new CommandError(`${path} has no cloud ${cloud}`);
    if (cacert !== undefined) trustAuthority(cacert);
    const domain = { id: 'default' };
    const response = await reach(`${auth.auth_url}/v3/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        auth: {
          identity: {
            methods: ['password'],
            password: { user: { name: auth.username, domain, password: auth.password } },
          },
          scope: { project: { name: auth.project_name, domain } },
        },
      }),
    });
    const token = response.headers.get('x-subject-token');
    if (response.status !== 201 || token === null)
      throw new CommandError(`the cloud at ${auth.auth_url} does not take the password in ${path}`);
    return new OpenStack(new URL(auth.auth_url).origin, token);
  }

  /** Sends a request; `path` is below the cloud's address, as `/compute/v2.1/servers`. Throws `Refused` for a fault. */
  async request<Body>(method: string, path: string, options: RequestOptions = {}): Promise<Answer<Body>> {
    const response = await this.#send(method, path, options);
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      requestId: response.headers.get('x-openstack-request-id') ?? '',
      body: (text.startsWith('{') ? JSON.parse(text) : undefined) as Body,
    };
  }

  /** The bytes of an answer, as they come. Throws `Refused` for a fault. */
  async download(path: string): Promise<AsyncIterable<Uint8Array>> {
    return (await this.#send('GET', path, {})).body ?? new ReadableStream<Uint8Array>();
  }

  /** All items of a list that comes in pages; `path` has a query already. */
  async everyPage<Item>(path: string, key: string, markerOf: (item: Item) => string): Promise<Item[]> {
    const items: Item[] = [];
    for (;;) {
      const last = items.at(-1);
      const marker = last === undefined ? '' : `&marker=${markerOf(last)}`;
      const { body } = await this.request<Record<string, Item[]>>('GET', `${path}&limit=${PAGE}${marker}`);
      const page = body[key] ?? [];
      items.push(...page);
      if (page.length < PAGE) return items;
    }
  }

  async #send(method: string, path: string, options: RequestOptions): Promise<Response> {
    const response = await reach(this.url + path, {
      method,
      headers: {
        'x-auth-token': this.#token,
        'openstack-api-version': `compute ${MICROVERSION}`,
        ...(options.json !== undefined && { 'content-type': 'application/json' }),
        ...options.headers,
      },
      body: options.stream ?? (options.json === undefined ? null : JSON.stringify(options.json)),
      ...(options.stream && { duplex: 'half' as const }),
    });
    if (response.ok) return response;
    const text = (await response.text()).replace(/<[^>]*>|\s+/g, ' ').trim();
    throw new Refused(response.status, `${method} ${path}: ${response.status} ${text}`);
  }
}

async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new CommandError(`no cloud answers at ${new URL(url).origin}: ${cause}`);
  }
}
