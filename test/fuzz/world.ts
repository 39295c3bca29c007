/**
 * What there is in the cloud under fire: three tenants with their tokens, and pools of things that requests use up and
 * make anew. The neighbour's things carry `SECRET`, which nobody else may ever see.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { foreignNetwork, type SteadyNetworks, steadyNetworks } from './network-world.ts';
import type { Prng } from './prng.ts';
import type { SpawnedCloud } from './spawn-cloud.ts';

export const SECRET = `neighbour-${randomUUID()}`;
export const PASSWORD = 'Passw0rd-0';
export const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWOUYtmDCyAZlhJVnJvIKS8QjjzH5uPbyhK/mp3d3nN fuzz';

export type Who = 'admin' | 'demo' | 'reader' | 'neighbour';

/** Ids of things of demo's (or, for users and so on, of nobody in particular), by kind. */
export type Kind =
  | 'server'
  | 'serverGroup'
  | 'consoleToken'
  | 'image'
  | 'queuedImage'
  | 'memberImage'
  | 'keypair'
  | 'flavor'
  | 'user'
  | 'project'
  | 'role'
  | 'token'
  | 'request'
  | 'inFlight'
  | 'aggregate'
  | 'goneService'
  | 'liveMigration'
  | 'network'
  | 'subnet'
  | 'port'
  | 'serverPort'
  | 'router'
  | 'interface'
  | 'floatingIp'
  | 'securityGroup'
  | 'securityGroupRule'
  | 'grant';

export interface World {
  readonly url: string;
  readonly dir: string;
  readonly tokens: Readonly<Record<Who, string>>;
  /** Genuine or not, none of these is good for anything but to look at oneself. */
  readonly uselessTokens: readonly string[];
  /** An administrator's, for the domain: good for identity, of no project. */
  readonly domainToken: string;
  readonly projects: Readonly<Record<Who, string>>;
  readonly users: Readonly<Record<Who, string>>;
  /** Never deleted: what launches boot from, and servers that run. */
  readonly bootImage: string;
  readonly steadyServers: readonly string[];
  /** Ids of the neighbour's things. */
  readonly foreign: Readonly<{ server: string; image: string; keypair: string; network: string }>;
  readonly networks: SteadyNetworks;
  /** The host on which everything is; never taken out of service. `uuid/number`. */
  readonly hypervisor: string;
  /** Hosts that nobody needs, `uuid/number`, and their names. */
  readonly spareHosts: readonly string[];
  readonly spareHostNames: readonly string[];
  readonly serviceId: string;
  readonly endpointId: string;
  /** Somebody whose password is changed again and again. */
  readonly changer: string;
  readonly pools: Record<Kind, string[]>;
  /** One that is there, probably; a random id where there is none. */
  some(kind: Kind, random: Prng): string;
  /** One to be deleted: nobody else gets it. */
  take(kind: Kind, random: Prng): string;
  /** An honest request. */
  call(who: Who, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
}

const IMAGE_DATA = Buffer.alloc(4096, 7);

export async function makeWorld(cloud: SpawnedCloud): Promise<World> {
  const { url } = cloud;
  const login = async (name: string, password: string, scope: object | 'unscoped') => {
    const identity = { methods: ['password'], password: { user: { name, domain: { id: 'default' }, password } } };
    const response = await fetch(`${url}/identity/v3/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ auth: { identity, scope } }),
    });
    assert.equal(response.status, 201, `${name} logs in`);
    const { token } = (await response.json()) as { token: { user: { id: string }; project?: { id: string } } };
    return {
      token: response.headers.get('x-subject-token') ?? '',
      user: token.user.id,
      project: token.project?.id ?? '',
    };
  };
  const inProject = (name: string) => ({ project: { name, domain: { id: 'default' } } });
  const admin = await login('admin', cloud.passwords.admin, inProject('admin'));
  const demo = await login('demo', cloud.passwords.demo, inProject('demo'));

  const send = (token: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    fetch(url + path, {
      method,
      headers: {
        'x-auth-token': token,
        ...(body !== undefined && !Buffer.isBuffer(body) && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body),
    });
  const make = async <Key extends string>(token: string, path: string, key: Key, body: unknown): Promise<string> => {
    const response = await send(token, 'POST', path, body);
    const text = await response.text();
    assert.ok(response.ok, `${path}: ${response.status} ${text}`);
    const made = JSON.parse(text) as Record<string, { id: string }> & { id: string };
    return key === '' ? made.id : (made[key]?.id ?? '');
  };
  const imageOf = async (token: string, name: string) => {
    const record = { name, disk_format: 'raw', container_format: 'bare' };
    const id = await make(token, '/image/v2/images', '', record);
    const type = { 'content-type': 'application/octet-stream' };
    assert.equal((await send(token, 'PUT', `/image/v2/images/${id}/file`, IMAGE_DATA, type)).status, 204);
    return id;
  };
  const serverOf = (token: string, name: string, image: string, more = {}) =>
    make(token, '/compute/v2.1/servers', 'server', { server: { name, imageRef: image, flavorRef: '42', ...more } });

  const roles = (await (await send(admin.token, 'GET', '/identity/v3/roles')).json()) as {
    roles: { id: string; name: string }[];
  };
  const person = async (name: string, role: string, project: string) => {
    const user = { name, password: PASSWORD, description: name === 'neighbour' ? SECRET : name };
    const id = await make(admin.token, '/identity/v3/users', 'user', { user });
    const roleId = roles.roles.find((each) => each.name === role)?.id;
    await send(admin.token, 'PUT', `/identity/v3/projects/${project}/users/${id}/roles/${roleId}`);
    return login(name, PASSWORD, { project: { id: project } });
  };
  const projectBody = { project: { name: 'neighbour', description: SECRET } };
  const neighbourProject = await make(admin.token, '/identity/v3/projects', 'project', projectBody);
  const neighbour = await person('neighbour', 'member', neighbourProject);
  const reader = await person('reader', 'reader', demo.project);
  const [unscoped, domain, toRevoke] = [
    await login('demo', cloud.passwords.demo, 'unscoped'),
    await login('admin', cloud.passwords.admin, { domain: { id: 'default' } }),
    await login('demo', cloud.passwords.demo, inProject('demo')),
  ];
  const revoked = await send(demo.token, 'DELETE', '/identity/v3/auth/tokens', undefined, {
    'x-subject-token': toRevoke.token,
  });
  assert.equal(revoked.status, 204);

  const changer = await person('changer', 'member', demo.project);
  const bootImage = await imageOf(demo.token, 'boot');
  const steadyServers = await Promise.all(
    Array.from({ length: 6 }, (_, index) => serverOf(demo.token, `steady-${index}`, bootImage)),
  );
  const tokensOf = { admin: admin.token, demo: demo.token, neighbour: neighbour.token };
  const callers = {
    get: (who: keyof typeof tokensOf, path: string) => send(tokensOf[who], 'GET', path),
    send: (who: keyof typeof tokensOf, method: string, path: string, body: unknown) =>
      send(tokensOf[who], method, path, body),
  };
  const foreignImage = await imageOf(neighbour.token, SECRET);
  const foreign = {
    image: foreignImage,
    server: await serverOf(neighbour.token, SECRET, foreignImage, { metadata: { secret: SECRET } }),
    keypair: 'their-key',
    network: await foreignNetwork(callers, SECRET),
  };
  const keypair = { name: 'their-key', public_key: `${PUBLIC_KEY} ${SECRET}` };
  assert.ok((await send(neighbour.token, 'POST', '/compute/v2.1/os-keypairs', { keypair })).ok);
  const json = async (path: string) =>
    (await (await send(admin.token, 'GET', path)).json()) as Record<string, { id: string }[]>;

  const servicesAt = async (version: string) => {
    const headers = { 'openstack-api-version': `compute ${version}` };
    const response = await send(admin.token, 'GET', '/compute/v2.1/os-services', undefined, headers);
    return ((await response.json()) as { services: { id: string | number; binary: string; host: string }[] }).services;
  };
  const numbers = await servicesAt('2.1');
  const services = (await servicesAt('2.53')).map((each, index) => ({
    ...each,
    ids: `${each.id}/${numbers[index]?.id}`,
  }));
  const hosts = services.filter(({ binary }) => binary === 'nova-compute');
  const spares = hosts.filter(({ host }) => host.startsWith('spare-'));

  const pools = Object.fromEntries(
    (
      [
        'server',
        'serverGroup',
        'consoleToken',
        'image',
        'queuedImage',
        'memberImage',
        'keypair',
        'flavor',
        'user',
        'project',
        'role',
        'token',
        'request',
        'inFlight',
        'aggregate',
        'goneService',
        'liveMigration',
        'network',
        'subnet',
        'port',
        'serverPort',
        'router',
        'interface',
        'floatingIp',
        'securityGroup',
        'securityGroupRule',
        'grant',
      ] as const
    ).map((kind) => [kind, [] as string[]]),
  ) as Record<Kind, string[]>;
  pools.goneService.push(...services.filter(({ host }) => host.startsWith('gone-')).map(({ ids }) => ids));
  const tokens = { admin: admin.token, demo: demo.token, reader: reader.token, neighbour: neighbour.token };
  return {
    url,
    dir: cloud.dir,
    tokens,
    domainToken: domain.token,
    uselessTokens: [cloud.expiredToken, unscoped.token, toRevoke.token, `${demo.token.slice(0, -3)}AAA`],
    projects: { admin: admin.project, demo: demo.project, reader: demo.project, neighbour: neighbour.project },
    users: { admin: admin.user, demo: demo.user, reader: reader.user, neighbour: neighbour.user },
    bootImage,
    changer: changer.user,
    steadyServers,
    foreign,
    networks: await steadyNetworks(callers, demo.project),
    hypervisor: hosts.find(({ host }) => !host.startsWith('spare-'))?.ids ?? '',
    spareHosts: spares.map(({ ids }) => ids),
    spareHostNames: spares.map(({ host }) => host),
    serviceId: (await json('/identity/v3/services')).services?.[0]?.id ?? '',
    endpointId: (await json('/identity/v3/endpoints')).endpoints?.[0]?.id ?? '',
    pools,
    some: (kind, random) => (pools[kind].length > 0 ? random.pick(pools[kind]) : randomUUID()),
    take(kind, random) {
      const pool = pools[kind];
      // The last ones stay, for those who only want to look.
      if (pool.length <= 2) return randomUUID();
      return pool.splice(random.below(pool.length), 1)[0] ?? randomUUID();
    },
    call: (who, method, path, body, headers) => send(tokens[who], method, path, body, headers),
  };
}

/** Remembers what a request made. */
export function learn(world: World, name: string, status: number, headers: ReadonlyMap<string, string>, text: string) {
  if (status >= 300) return;
  const put = (kind: Kind, id: string | undefined) => {
    if (id !== undefined && id !== '' && world.pools[kind].length < 400) world.pools[kind].push(id);
  };
  if (name === 'POST /identity/v3/auth/tokens') return put('token', headers.get('x-subject-token'));
  if (name.endsWith('/remote-consoles')) return put('consoleToken', /token(?:=|%3D)([\w-]+)/.exec(text)?.[1]);
  if (name.endsWith('/add_router_interface'))
    return put('interface', /"id":"([^"]+)".*"subnet_id":"([^"]+)"/.exec(text)?.slice(1).join('/'));
  const made = MAKERS[name];
  if (!made) return;
  const [kind, key] = made;
  let body: Record<string, Record<string, string>> & { id?: string };
  try {
    body = JSON.parse(text);
  } catch {
    return;
  }
  const id = key === '' ? body.id : body[key]?.[kind === 'keypair' ? 'name' : 'id'];
  put(kind, id === undefined ? undefined : String(id));
  if (kind === 'server') put('request', `${body.server?.id}/${headers.get('x-compute-request-id')}`);
}

const MAKERS: Readonly<Record<string, readonly [Kind, string]>> = {
  'POST /compute/v2.1/servers': ['server', 'server'],
  'POST /compute/v2.1/os-server-groups': ['serverGroup', 'server_group'],
  'POST /compute/v2.1/os-aggregates': ['aggregate', 'aggregate'],
  'POST /compute/v2.1/flavors': ['flavor', 'flavor'],
  'POST /compute/v2.1/os-keypairs': ['keypair', 'keypair'],
  'POST /identity/v3/users': ['user', 'user'],
  'POST /identity/v3/projects': ['project', 'project'],
  'POST /identity/v3/roles': ['role', 'role'],
  'POST /image/v2/images': ['queuedImage', ''],
  'POST /network/v2.0/networks': ['network', 'network'],
  'POST /network/v2.0/subnets': ['subnet', 'subnet'],
  'POST /network/v2.0/ports': ['port', 'port'],
  'POST /network/v2.0/routers': ['router', 'router'],
  'POST /network/v2.0/floatingips': ['floatingIp', 'floatingip'],
  'POST /network/v2.0/security-groups': ['securityGroup', 'security_group'],
  'POST /network/v2.0/security-group-rules': ['securityGroupRule', 'security_group_rule'],
};
