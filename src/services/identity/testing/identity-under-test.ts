/** A bootstrapped identity service on a database of its own, with a clock that only moves when told to. */
import type { Database } from '#db/database.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { httpServer, mount } from '#http/server.ts';
import { openLogs } from '#observe/log.ts';
import { authenticator } from '../authenticator.ts';
import { bootstrap } from '../bootstrap.ts';
import { type IdentityDeps, identityDeps } from '../identity-deps.ts';
import { identityService } from '../identity-service.ts';
import { passwordHasher } from '../password/hasher.ts';

export const PASSWORDS = { admin: 'admin-secret', demo: 'demo-secret', nova: 'nova-secret' };
/** What a hash costs is tested where passwords are hashed. */
const CHEAP = { memoryKib: 64, passes: 1, parallelism: 1 };
const DEFAULT = { id: 'default' };

/** An answer, with its JSON body as something to reach into. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  // biome-ignore lint/suspicious/noExplicitAny: a test reaches into answers whose shape is what it checks
  readonly body: any;
  readonly text: string;
}

export interface Call {
  readonly token?: string;
  readonly subject?: string;
  readonly body?: unknown;
}

export type Cloud = Awaited<ReturnType<typeof identityUnderTest>>;

/** Close it with `await using`. `database` shares a record, as a second process would. */
export async function identityUnderTest(options: { database?: Database; start?: number } = {}) {
  const clock = { now: options.start ?? Date.UTC(2026, 0, 1) };
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('keystone');
  const database = options.database ?? (await openTestDatabase());
  const deps: IdentityDeps = identityDeps({
    database,
    clock: () => clock.now,
    log,
    passwords: passwordHasher({ cost: CHEAP }),
  });
  const bootstrapped = await bootstrap(deps, { passwords: PASSWORDS });
  const authenticate = authenticator(deps);
  const serverOptions = { authenticate, log };
  const server = httpServer(serverOptions);
  mount(server, identityService(deps), serverOptions);
  await server.ready();

  async function call(method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, with_: Call = {}) {
    const answer = await server.inject({
      method,
      url: `/identity${path}`,
      headers: {
        host: 'cloud.example:5000',
        ...(with_.token !== undefined && { 'x-auth-token': with_.token }),
        ...(with_.subject !== undefined && { 'x-subject-token': with_.subject }),
        ...(with_.body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(with_.body !== undefined && { payload: JSON.stringify(with_.body) }),
    });
    const isJson = String(answer.headers['content-type']).includes('json') && answer.body !== '';
    const body = isJson ? JSON.parse(answer.body) : undefined;
    return { status: answer.statusCode, headers: answer.headers, body, text: answer.body } as Answered;
  }

  /** The answer to a login by name. */
  function login(name: string, password: string, scope?: unknown): Promise<Answered> {
    const identity = { methods: ['password'], password: { user: { name, domain: DEFAULT, password } } };
    return call('POST', '/v3/auth/tokens', { body: { auth: { identity, ...(scope !== undefined && { scope }) } } });
  }

  /** A token by name, for the default project or as asked. */
  async function token(name: keyof typeof PASSWORDS | (string & {}), scope?: unknown, password?: string) {
    const known = PASSWORDS[name as keyof typeof PASSWORDS];
    const answer = await login(name, password ?? known, scope);
    if (answer.status !== 201) throw new Error(`login of ${name}: ${answer.status} ${answer.text}`);
    return String(answer.headers['x-subject-token']);
  }

  /** A new user with a role on the project `demo`, by its name. */
  async function user(admin: string, name: string, password: string, role = 'member') {
    const created = await call('POST', '/v3/users', { token: admin, body: { user: { name, password } } });
    const projects = await call('GET', '/v3/projects?name=demo', { token: admin });
    const roles = await call('GET', `/v3/roles?name=${role}`, { token: admin });
    const ids = {
      userId: created.body.user.id,
      projectId: projects.body.projects[0].id,
      roleId: roles.body.roles[0].id,
    };
    const grant = `/v3/projects/${ids.projectId}/users/${ids.userId}/roles/${ids.roleId}`;
    await call('PUT', grant, { token: admin });
    return { ...ids, grant, name, password, scope: { project: { id: ids.projectId } } };
  }

  return {
    clock,
    database,
    deps,
    bootstrapped,
    authenticate,
    call,
    login,
    token,
    user,
    async [Symbol.asyncDispose]() {
      await server.close();
      if (!options.database) await database.close();
    },
  };
}
