/**
 * The cloud as its own command line uses it: through the same HTTP API as everybody, with the credentials in
 * `clouds.yaml`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { CommandError } from './command-error.ts';

/** The compute microversion that the command line speaks. */
const MICROVERSION = '2.84';

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
    const { clouds } = load(readFileSync(path, 'utf8')) as { clouds: Record<string, { auth: Auth }> };
    const auth = clouds[cloud]?.auth;
    if (!auth) throw new CommandError(`${path} has no cloud ${cloud}`);
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

  /** Sends a request; `path` is below the cloud's address, as `/compute/v2.1/servers`. Throws `CommandError` for a fault. */
  async request<Body>(method: string, path: string, options: RequestOptions = {}): Promise<Answer<Body>> {
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
    const text = await response.text();
    if (!response.ok)
      throw new CommandError(`${method} ${path}: ${response.status} ${text.replace(/<[^>]*>|\s+/g, ' ').trim()}`);
    return {
      status: response.status,
      headers: response.headers,
      requestId: response.headers.get('x-openstack-request-id') ?? '',
      body: (text.startsWith('{') ? JSON.parse(text) : undefined) as Body,
    };
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
