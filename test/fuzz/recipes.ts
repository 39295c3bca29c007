/**
 * A valid request for every route, which mutation then breaks in one place: only so do requests reach the deep code.
 *
 * A route without a recipe gets its parameters by their names and a body of its schema's required keys; when the fuzz
 * then says that it never succeeded, it wants a recipe.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { schemaAt } from '#http/route.ts';
import { HOST_RECIPES } from './host-recipes.ts';
import type { Json } from './json.ts';
import { NETWORK_RECIPES } from './network-recipes.ts';
import type { Prng } from './prng.ts';
import type { Target } from './routes.ts';
import { PASSWORD, PUBLIC_KEY, type Who, type World } from './world.ts';

export interface Valid {
  readonly who: Who | 'nobody';
  readonly params: Readonly<Record<string, string>>;
  readonly query: readonly (readonly [string, string])[];
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Json | Buffer;
}

export type Part = Partial<Omit<Valid, 'who'>> & { readonly who?: Who };
export type Recipe = (world: World, random: Prng, version: number) => Part;

const word = () => `fuzz-${randomUUID()}`;
/** `take`: nobody else gets it. */
const serverPort = (world: World, random: Prng, how: 'some' | 'take') => {
  const [id = '', port = ''] = world[how]('serverPort', random).split('/');
  return { params: { id, port } };
};
const grant = (world: World, random: Prng, how: 'some' | 'take') => {
  const [projectId = '', userId = '', roleId = ''] = world[how]('grant', random).split('/');
  return { params: { projectId, userId, roleId } };
};
const ROLE = '/identity/v3/projects/:projectId/users/:userId/roles/:roleId';
const METADATA = '/compute/v2.1/servers/:id/metadata';
const TAGS = '/compute/v2.1/servers/:id/tags';
const tagged = (world: World, random: Prng) => ({
  params: { id: random.pick(world.steadyServers), tag: random.pick(['one', 'two', word()]) },
});
const PATCH = { 'content-type': 'application/openstack-images-v2.1-json-patch' };
const membership = (world: World, random: Prng) => ({
  id: world.some('memberImage', random),
  member: world.projects.admin,
});
const maybe = <Value>(random: Prng, key: string, value: Value) => (random.chance(0.4) ? { [key]: value } : {});

const RECIPES: Readonly<Record<string, Recipe>> = {
  ...HOST_RECIPES,
  ...NETWORK_RECIPES,
  'POST /compute/v2.1/servers': (world, random, version) => ({
    body: {
      server: {
        name: word(),
        imageRef: world.bootImage,
        flavorRef: '42',
        ...maybe(random, 'metadata', { a: 'b', 'c d': '' }),
        ...maybe(random, 'user_data', 'IyEvYmluL3No'),
        ...maybe(random, 'config_drive', random.pick([true, 'True', '0'])),
        ...maybe(random, 'min_count', random.pick([1, '1'])),
        ...maybe(random, 'max_count', random.pick([2, '1'])),
        ...maybe(random, 'availability_zone', 'nova'),
        ...maybe(random, 'security_groups', [{ name: 'default' }]),
        ...maybe(random, 'accessIPv4', '192.0.2.1'),
        ...maybe(random, 'accessIPv6', '2001:db8::1'),
        ...maybe(random, 'OS-DCF:diskConfig', 'AUTO'),
        ...maybe(random, 'adminPass', 'Secret-pass-1'),
        ...maybe(random, 'block_device_mapping_v2', [
          { uuid: world.bootImage, source_type: 'image', destination_type: 'local', boot_index: 0 },
        ]),
        ...(version >= 19 && maybe(random, 'description', 'words')),
        // Said, since a project that has several has to say which.
        networks: random.pick<Json>([...(version >= 37 ? ['auto', 'none'] : []), [{ uuid: world.networks.network }]]),
        ...(version >= 52 && maybe(random, 'tags', ['one', 'two'])),
        ...(version >= 90 && maybe(random, 'hostname', 'host-1')),
      },
      ...maybe(random, 'os:scheduler_hints', random.pick<Json>([{ group: randomUUID() }, { other: ['x'] }])),
    },
  }),
  'PUT /compute/v2.1/servers/:id': (world, random, version) => ({
    params: { id: world.some('server', random) },
    body: {
      server: {
        name: word(),
        accessIPv4: '192.0.2.9',
        accessIPv6: '',
        ...(version >= 19 && { description: null }),
        ...(version >= 90 && { hostname: 'renamed' }),
      },
    },
  }),
  'DELETE /compute/v2.1/servers/:id': (world, random) => ({ params: { id: world.take('server', random) } }),
  'POST /compute/v2.1/servers/:id/action': (world, random) => ({
    params: { id: random.pick(world.steadyServers) },
    body: random.pick<Json>([
      { 'os-getConsoleOutput': random.pick([{}, { length: 5 }, { length: '5' }, { length: -1 }, { length: null }]) },
      { createImage: { name: word(), metadata: { a: 'b' } } },
      { createBackup: { name: word(), backup_type: 'daily', rotation: random.pick([0, 1, '2']) } },
      { reboot: { type: random.pick(['SOFT', 'HARD']) } },
      ...['os-start', 'os-stop', 'pause', 'unpause', 'suspend', 'resume', 'unrescue', 'lock', 'unlock'].map((name) => ({
        [name]: null,
      })),
      { rescue: { adminPass: 'Secret-pass-1' } },
      { rebuild: { imageRef: world.bootImage, name: word(), adminPass: 'Secret-pass-1' } },
      { shelve: null },
      { unshelve: null },
      { 'os-resetState': { state: random.pick(['active', 'error']) } },
    ]),
  }),
  [`PUT ${METADATA}`]: (world, random) => ({
    params: { id: random.pick(world.steadyServers) },
    body: { metadata: { fuzz: word(), other: '' } },
  }),
  [`GET ${METADATA}/:key`]: (world, random) => ({ params: { id: random.pick(world.steadyServers), key: 'fuzz' } }),
  [`PUT ${METADATA}/:key`]: (world, random) => ({
    params: { id: random.pick(world.steadyServers), key: 'fuzz' },
    body: { meta: { fuzz: word() } },
  }),
  [`DELETE ${METADATA}/:key`]: (world, random) => ({ params: { id: random.pick(world.steadyServers), key: 'fuzz' } }),
  [`PUT ${TAGS}`]: (world, random) => ({
    params: { id: random.pick(world.steadyServers) },
    body: { tags: ['one', 'two', word()] },
  }),
  [`GET ${TAGS}/:tag`]: (world, random) => tagged(world, random),
  [`PUT ${TAGS}/:tag`]: (world, random) => tagged(world, random),
  [`DELETE ${TAGS}/:tag`]: (world, random) => tagged(world, random),
  'GET /compute/v2.1/servers/:id/ips/:network': (world, random) => ({
    params: { id: random.pick(world.steadyServers), network: 'private' },
  }),
  'GET /compute/v2.1/os-security-groups/:id': (world) => ({
    who: 'demo',
    params: { id: world.networks.securityGroup },
  }),
  'PUT /compute/v2.1/os-quota-sets/:project': (world, random) => ({
    params: { project: world.some('project', random) },
    body: {
      quota_set: { instances: random.below(9), ...maybe(random, 'cores', '7'), ...maybe(random, 'force', true) },
    },
  }),
  'GET /compute/v2.1/servers/:id/os-interface/:port': (world, random) => serverPort(world, random, 'some'),
  'DELETE /compute/v2.1/servers/:id/os-interface/:port': (world, random) => serverPort(world, random, 'take'),
  'POST /compute/v2.1/servers/:id/remote-consoles': (world, random) => ({
    params: { id: random.pick(world.steadyServers) },
    body: {
      remote_console: random.pick<Json>([
        { protocol: 'vnc', type: 'novnc' },
        { protocol: 'serial', type: 'serial' },
      ]),
    },
  }),
  'GET /compute/v2.1/os-console-auth-tokens/:token': (world, random) => ({
    params: { token: world.some('consoleToken', random) },
  }),
  'POST /compute/v2.1/os-server-groups': (_, random, version) => ({
    body: {
      server_group: {
        name: word(),
        ...(version < 64 && { policies: [random.pick(['affinity', 'anti-affinity'])] }),
        ...(version >= 64 && { policy: 'anti-affinity', ...maybe(random, 'rules', { max_server_per_host: '2' }) }),
      },
    },
  }),
  'GET /compute/v2.1/os-server-groups/:id': (world, random) => ({ params: { id: world.some('serverGroup', random) } }),
  'DELETE /compute/v2.1/os-server-groups/:id': (world, random) => ({
    params: { id: world.take('serverGroup', random) },
  }),
  'GET /compute/v2.1/servers/:id/os-instance-actions': (world, random) => ({
    params: { id: random.pick([...world.steadyServers, world.some('server', random)]) },
  }),
  'GET /compute/v2.1/servers/:id/os-instance-actions/:requestId': (world, random) => {
    const [id = '', requestId = ''] = world.some('request', random).split('/');
    return { params: { id, requestId } };
  },
  'DELETE /compute/v2.1/servers/:id/os-instance-actions/:requestId': (world, random) => {
    const [id = '', requestId = ''] = world.take('inFlight', random).split('/');
    return { params: { id, requestId } };
  },
  'POST /compute/v2.1/flavors/:id/os-extra_specs': (world, random) => ({
    params: { id: world.some('flavor', random) },
    body: { extra_specs: { fuzz: '1', 'hw:cpu_policy': 'shared' } },
  }),
  'GET /compute/v2.1/flavors/:id/os-extra_specs/:key': (world, random) => ({
    who: 'admin',
    params: { id: world.some('flavor', random), key: 'fuzz' },
  }),
  'PUT /compute/v2.1/flavors/:id/os-extra_specs/:key': (world, random) => ({
    params: { id: world.some('flavor', random), key: 'fuzz' },
    body: { fuzz: '2' },
  }),
  'DELETE /compute/v2.1/flavors/:id/os-extra_specs/:key': (world, random) => ({
    params: { id: world.some('flavor', random), key: 'fuzz' },
  }),
  'POST /compute/v2.1/flavors/:id/action': (world, random) => ({
    params: { id: world.some('flavor', random) },
    body: random.pick<Json>([
      { addTenantAccess: { tenant: world.projects.demo } },
      { removeTenantAccess: { tenant: world.projects.demo } },
    ]),
  }),
  'POST /compute/v2.1/flavors': (_, random, version) => ({
    body: {
      flavor: {
        name: word(),
        ram: random.pick([64, '64']),
        vcpus: 1,
        disk: random.pick([0, 1]),
        ...maybe(random, 'id', random.pick(['auto', null, word()])),
        ...maybe(random, 'swap', 16),
        ...maybe(random, 'OS-FLV-EXT-DATA:ephemeral', 1),
        ...maybe(random, 'rxtx_factor', 1.5),
        ...maybe(random, 'os-flavor-access:is_public', false),
        ...(version >= 55 && maybe(random, 'description', 'words')),
      },
    },
  }),
  'PUT /compute/v2.1/flavors/:id': (world, random) => ({
    params: { id: world.some('flavor', random) },
    body: { flavor: { description: 'other words' } },
  }),
  'DELETE /compute/v2.1/flavors/:id': (world, random) => ({ params: { id: world.take('flavor', random) } }),
  'POST /compute/v2.1/os-keypairs': (_, random, version) => ({
    // To make a key costs the server far more than to take one over.
    body: { keypair: { name: word(), ...((version >= 92 || random.chance(0.9)) && { public_key: PUBLIC_KEY }) } },
  }),
  'DELETE /compute/v2.1/os-keypairs/:name': (world, random) => ({ params: { name: world.take('keypair', random) } }),

  'POST /identity/v3/auth/tokens': (world, random) => ({
    body: {
      auth: {
        // Checking a password costs tens of ms, by design.
        identity: random.chance(0.9)
          ? { methods: ['token'], token: { id: world.tokens.demo } }
          : {
              methods: ['password'],
              password: { user: { id: world.users.neighbour, password: PASSWORD } },
            },
        ...maybe(
          random,
          'scope',
          random.pick<Json>([{ project: { name: 'demo', domain: { name: 'Default' } } }, 'unscoped', { unscoped: {} }]),
        ),
      },
    },
  }),
  // Not the tokens that the test lives by: with another method this takes one back.
  'GET /identity/v3/auth/tokens': (world, random) => ({ headers: { 'x-subject-token': world.some('token', random) } }),
  'HEAD /identity/v3/auth/tokens': (world, random) => ({ headers: { 'x-subject-token': world.some('token', random) } }),
  'DELETE /identity/v3/auth/tokens': (world, random) => ({
    headers: { 'x-subject-token': world.take('token', random) },
    who: 'admin',
  }),
  // Somebody who may look at oneself, and could not delete it.
  'GET /identity/v3/users/:userId/projects': (world) => ({ who: 'demo', params: { userId: world.users.demo } }),
  'GET /identity/v3/users/:userId': (world) => ({ who: 'demo', params: { userId: world.users.demo } }),
  'POST /identity/v3/users': (world, random) => ({
    body: {
      user: {
        name: word(),
        ...(random.chance(0.3) && { password: PASSWORD }),
        ...maybe(random, 'email', 'a@example.org'),
        ...maybe(random, 'default_project_id', world.projects.demo),
        ...maybe(random, 'enabled', true),
      },
    },
  }),
  'PATCH /identity/v3/users/:userId': (world, random) => ({
    params: { userId: world.some('user', random) },
    body: { user: { name: word(), ...maybe(random, 'description', 'words'), ...maybe(random, 'enabled', false) } },
  }),
  'DELETE /identity/v3/users/:userId': (world, random) => ({ params: { userId: world.take('user', random) } }),
  'POST /identity/v3/users/:userId/password': (world) => ({
    who: 'admin',
    params: { userId: world.changer },
    body: { user: { original_password: PASSWORD, password: PASSWORD } },
  }),
  'POST /identity/v3/projects': () => ({ body: { project: { name: word(), description: 'words' } } }),
  'GET /identity/v3/projects/:projectId': (world) => ({ who: 'demo', params: { projectId: world.projects.demo } }),
  'PATCH /identity/v3/projects/:projectId': (world, random) => ({
    params: { projectId: world.some('project', random) },
    body: { project: { name: word(), enabled: random.chance(0.8) } },
  }),
  'DELETE /identity/v3/projects/:projectId': (world, random) => ({
    params: { projectId: world.take('project', random) },
  }),
  'POST /identity/v3/roles': () => ({ body: { role: { name: word(), description: 'words' } } }),
  'PATCH /identity/v3/roles/:roleId': (world, random) => ({
    params: { roleId: world.some('role', random) },
    body: { role: { name: word() } },
  }),
  'DELETE /identity/v3/roles/:roleId': (world, random) => ({ params: { roleId: world.take('role', random) } }),
  'GET /identity/v3/projects/:projectId/users/:userId/roles': (world, random) => grant(world, random, 'some'),
  [`PUT ${ROLE}`]: (world, random) => grant(world, random, 'some'),
  [`GET ${ROLE}`]: (world, random) => grant(world, random, 'some'),
  [`HEAD ${ROLE}`]: (world, random) => grant(world, random, 'some'),
  [`DELETE ${ROLE}`]: (world, random) => grant(world, random, 'take'),
  'GET /identity/v3/domains/:domainId': () => ({ params: { domainId: 'default' } }),
  'GET /identity/v3/services/:serviceId': (world) => ({ params: { serviceId: world.serviceId } }),
  'GET /identity/v3/endpoints/:endpointId': (world) => ({ params: { endpointId: world.endpointId } }),
  'GET /identity/v3/regions/:regionId': () => ({ params: { regionId: 'RegionOne' } }),

  'POST /image/v2/images': (_, random) => ({
    body: {
      name: word(),
      disk_format: 'raw',
      container_format: 'bare',
      visibility: random.pick(['private', 'shared', 'community']),
      ...maybe(random, 'id', randomUUID()),
      ...maybe(random, 'tags', ['one']),
      ...maybe(random, 'min_disk', 1),
      ...maybe(random, 'own_property', 'text'),
    },
  }),
  'PATCH /image/v2/images/:id': (world, random) => ({
    params: { id: world.some('image', random) },
    headers: PATCH,
    body: [
      random.pick<Json>([
        { op: 'replace', path: '/name', value: word() },
        { op: 'add', path: '/own_property', value: 'other' },
        { op: 'add', path: '/tags', value: ['three'] },
        { op: 'replace', path: '/visibility', value: 'shared' },
        { op: 'replace', path: '/min_ram', value: 64 },
      ]),
    ],
  }),
  'DELETE /image/v2/images/:id': (world, random) => ({
    params: { id: world.take(random.pick(['image', 'queuedImage']), random) },
  }),
  'PUT /image/v2/images/:id/file': (world, random) => ({
    params: { id: world.take('queuedImage', random) },
    headers: { 'content-type': 'application/octet-stream' },
    body: Buffer.alloc(random.pick([1, 600, 70_000]), 9),
  }),
  'GET /image/v2/images/:id/file': (world, random) => ({
    params: { id: random.pick([world.bootImage, world.some('image', random)]) },
  }),
  'POST /image/v2/images/:id/locations': (world, random) => {
    const staging = join(world.dir, 'images', 'staging');
    mkdirSync(staging, { recursive: true });
    const path = join(staging, word());
    writeFileSync(path, Buffer.alloc(512, 3));
    return { who: 'admin', params: { id: world.take('queuedImage', random) }, body: { url: `file://${path}` } };
  },
  'GET /image/v2/images/:id/members': (world, random) => ({ params: { id: world.some('memberImage', random) } }),
  'POST /image/v2/images/:id/members': (world, random) => ({
    params: { id: world.some('memberImage', random) },
    body: { member: word() },
  }),
  'GET /image/v2/images/:id/members/:member': (world, random) => ({ params: membership(world, random) }),
  'PUT /image/v2/images/:id/members/:member': (world, random) => ({
    who: 'admin',
    params: membership(world, random),
    body: { status: random.pick(['accepted', 'rejected', 'pending']) },
  }),
  'DELETE /image/v2/images/:id/members/:member': (world, random) => ({
    params: { id: world.take('memberImage', random), member: world.projects.admin },
  }),
  'PUT /image/v2/images/:id/tags/:tag': (world, random) => ({
    params: { id: world.some('image', random), tag: random.pick(['one', 'two', word()]) },
  }),
  'DELETE /image/v2/images/:id/tags/:tag': (world, random) => ({
    params: { id: world.some('image', random), tag: random.pick(['one', 'two', 'three']) },
  }),
};

/** The valid request for `target` at a microversion. */
export function validRequest(target: Target, world: World, random: Prng, version: number): Valid {
  const { route } = target;
  const part = RECIPES[target.name]?.(world, random, version) ?? {};
  const names = [...route.path.matchAll(/:(\w+)/g)].map(([, name = '']) => name);
  const schema = schemaAt(route.body, version);
  const body = part.body ?? (schema && !part.body ? (sample(schema) as Json) : undefined);
  return {
    who: part.who ?? callerOf(target, random),
    params: part.params ?? Object.fromEntries(names.map((name) => [name, idFor(target, name, world, random)])),
    query: part.query ?? [],
    headers: {
      ...(body !== undefined && { 'content-type': route.consumes?.[0] ?? 'application/json' }),
      ...part.headers,
    },
    ...(body !== undefined && { body }),
  };
}

function callerOf({ route: { access } }: Target, random: Prng): Who | 'nobody' {
  if (access === 'anyone') return 'nobody';
  if (access === 'token') return random.pick(['demo', 'admin']);
  return access.role === 'admin' || access.role === 'service'
    ? 'admin'
    : random.pick(['demo', 'demo', 'demo', 'admin']);
}

function idFor({ route: { path }, name: address }: Target, name: string, world: World, random: Prng): string {
  if (name === 'roleId') return world.some('role', random);
  if (name === 'userId') return world.some('user', random);
  if (name === 'projectId') return world.some('project', random);
  if (name === 'name' && path.includes('keypairs')) return world.some('keypair', random);
  if (address.includes('/flavors/')) return random.pick(['42', world.some('flavor', random)]);
  if (address.includes('/images/')) return world.some('image', random);
  if (address.includes('/servers/')) return random.pick([...world.steadyServers, world.some('server', random)]);
  return randomUUID();
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly Json[];
  readonly const?: Json;
  readonly minimum?: number;
  readonly minItems?: number;
  readonly items?: JsonSchema;
}

/** The smallest value of a schema, as far as its required parts go. */
function sample(schema: JsonSchema): Json {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0] ?? null;
  if (schema.anyOf) return sample(schema.anyOf[0] ?? {});
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  if (type === 'object') {
    const required = Object.entries(schema.properties ?? {}).filter(([key]) => schema.required?.includes(key));
    return Object.fromEntries(required.map(([key, each]) => [key, sample(each)]));
  }
  if (type === 'array') return Array.from({ length: schema.minItems ?? 0 }, () => sample(schema.items ?? {}));
  if (type === 'integer' || type === 'number') return schema.minimum ?? 1;
  if (type === 'boolean') return true;
  return 'x';
}
