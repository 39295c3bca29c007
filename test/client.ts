/**
 * OpenStack over HTTP as a test speaks it: log in once as a user of `clouds.yaml`, then ask. Answers carry the status
 * and are never thrown, so that a test can also want a refusal; `ok` is for those that only want the body.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';

export type User = 'demo' | 'admin';

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
  readonly requestId: string;
}

export interface RequestBody {
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly signal?: AbortSignal;
}

/** The compute microversion of all requests. */
const MICROVERSION = '2.84';

export class Client {
  readonly #url: string;
  readonly #token: string;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** Logs in at `url` with the password that the cloud wrote to its data folder. */
  static async login(url: string, data: string, user: User): Promise<Client> {
    const domain = { id: 'default' };
    const response = await fetch(`${url}/identity/v3/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        auth: {
          identity: {
            methods: ['password'],
            password: { user: { name: user, domain, password: passwordOf(data, user) } },
          },
          scope: { project: { name: user, domain } },
        },
      }),
    });
    const token = response.headers.get('x-subject-token');
    await response.text();
    if (token === null) throw new Error(`${user} cannot log in: ${response.status}`);
    return new Client(url, token);
  }

  /** The same user's token at the cloud's next address; tokens outlive a restart. */
  at(url: string): Client {
    return new Client(url, this.#token);
  }

  /** Of every request: the token and the microversion. */
  headers(): Readonly<Record<string, string>> {
    return { 'x-auth-token': this.#token, 'openstack-api-version': `compute ${MICROVERSION}` };
  }

  /** `path` is below the cloud's address: `/compute/v2.1/servers`. */
  async request<Body = unknown>(method: string, path: string, body: RequestBody = {}): Promise<Answer<Body>> {
    const type = body.bytes ? 'application/octet-stream' : body.json === undefined ? undefined : 'application/json';
    const response = await fetch(this.#url + path, {
      method,
      headers: { ...this.headers(), ...(type && { 'content-type': type }) },
      body: body.bytes
        ? new Blob([new Uint8Array(body.bytes)])
        : body.json === undefined
          ? null
          : JSON.stringify(body.json),
      signal: body.signal ?? null,
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      requestId: response.headers.get('x-openstack-request-id') ?? '',
      // What a test says it asked for; a wrong guess fails the test that made it.
      body: (text.startsWith('{') ? JSON.parse(text) : undefined) as Body,
    };
  }

  /** The body of an answer that must be a success. */
  async ok<Body = unknown>(method: string, path: string, body: RequestBody = {}): Promise<Body> {
    const answer = await this.request<Body>(method, path, body);
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
}

function passwordOf(data: string, user: User): string {
  const file = load(readFileSync(join(data, 'clouds.yaml'), 'utf8')) as {
    clouds: Record<string, { auth: { username: string; password: string } }>;
  };
  const found = Object.values(file.clouds).find(({ auth }) => auth.username === user);
  if (!found) throw new Error(`clouds.yaml has no user ${user}`);
  return found.auth.password;
}
