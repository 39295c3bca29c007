/** Turns a valid request into bytes, with one thing wrong (sometimes two, sometimes none). */
import { gzipSync } from 'node:zlib';
import {
  BODIES,
  CONTENT_TYPES,
  HOSTS,
  METHODS,
  MICROVERSIONS,
  QUERY_VALUES,
  RANGES,
  SEGMENTS,
  TOKENS,
  VALUES,
} from './corpus.ts';
import { broken, toText } from './json.ts';
import type { Prng } from './prng.ts';
import { type Valid, validRequest } from './recipes.ts';
import type { Target } from './routes.ts';
import type { Wire } from './wire.ts';
import type { Who, World } from './world.ts';

export interface Shot {
  readonly wire: Wire;
  /** Whose token it bears; `somebody` where the token was tampered with. */
  readonly who: Who | 'nobody' | 'somebody';
  /** Names of what was done to it, for the report. */
  readonly mutations: readonly string[];
  /** What is wrong is below the services: HTTP itself. Node may answer by itself, or close the connection. */
  readonly isBrokenHttp: boolean;
}

interface Draft {
  method: string;
  path: string;
  query: string[];
  headers: [string, string][];
  body: Buffer | undefined;
  framing: Wire['framing'];
  who: Shot['who'];
  isBrokenHttp: boolean;
}

/** The shot number `index` at a route. */
export function shoot(target: Target, world: World, random: Prng): Shot {
  const version = versionFor(target, random);
  const valid = validRequest(target, world, random, version);
  const draft = draftOf(target, valid, world, version);
  const mutations: string[] = [];
  const count = random.chance(0.35) ? 0 : random.chance(0.85) ? 1 : 2;
  for (let round = 0; round < count; round++) {
    const usable = MUTATIONS.filter(({ fits }) => fits(target, valid));
    const mutation = random.pick(usable);
    mutation.apply(draft, { target, valid, world, random });
    mutations.push(mutation.name);
  }
  const query = draft.query.length > 0 ? `?${draft.query.join('&')}` : '';
  return {
    wire: {
      method: draft.method,
      target: draft.path + query,
      headers: draft.headers,
      ...(draft.body && { body: draft.body }),
      framing: draft.framing ?? 'length',
    },
    who: draft.who,
    mutations,
    isBrokenHttp: draft.isBrokenHttp,
  };
}

function versionFor({ service, route }: Target, random: Prng): number {
  if (service !== 'compute') return 0;
  const [from, until] = [route.from ?? 1, route.until ?? 93];
  return random.chance(0.4) ? from : from + random.below(until - from + 1);
}

function draftOf({ service, route, name }: Target, valid: Valid, world: World, version: number): Draft {
  const prefix = name.slice(route.method.length + 1, name.length - route.path.length);
  const path = route.path.replace(/:(\w+)/g, (_, key: string) => encodeURIComponent(valid.params[key] ?? 'x'));
  const headers: [string, string][] = [['host', new URL(world.url).host]];
  if (valid.who !== 'nobody') headers.push(['x-auth-token', world.tokens[valid.who]]);
  headers.push(...Object.entries(valid.headers));
  if (service === 'compute' && version > 1) headers.push(['openstack-api-version', `compute 2.${version}`]);
  const { body } = valid;
  return {
    method: route.method,
    path: prefix + path,
    query: valid.query.map(([key, value]) => `${key}=${encodeURIComponent(value)}`),
    headers,
    body: body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(toText(body)),
    framing: undefined,
    who: valid.who,
    isBrokenHttp: false,
  };
}

interface Circumstances {
  readonly target: Target;
  readonly valid: Valid;
  readonly world: World;
  readonly random: Prng;
}

interface Mutation {
  readonly name: string;
  readonly fits: (target: Target, valid: Valid) => boolean;
  readonly apply: (draft: Draft, circumstances: Circumstances) => void;
}

const always = () => true;
const hasBody = (_: Target, { body }: Valid) => body !== undefined;
const hasJson = (_: Target, { body }: Valid) => body !== undefined && !Buffer.isBuffer(body);
const needsToken = ({ route }: Target) => route.access !== 'anyone';

function set(draft: Draft, name: string, value: string | null): void {
  draft.headers = draft.headers.filter(([each]) => each !== name);
  if (value !== null) draft.headers.push([name, value]);
}

const json: Mutation = {
  name: 'json',
  fits: hasJson,
  apply(draft, { valid: { body }, random }) {
    if (body !== undefined && !Buffer.isBuffer(body)) draft.body = Buffer.from(toText(broken(body, VALUES, random)));
  },
};

const segment: Mutation = {
  name: 'segment',
  fits: ({ route }) => route.path.includes(':'),
  apply(draft, { target, valid, world, random }) {
    const names = Object.keys(valid.params);
    const hit = names[random.below(names.length || 1)] ?? '';
    const before = `/${encodeURIComponent(valid.params[hit] ?? '')}`;
    const { server, image, keypair, network } = world.foreign;
    // Those who may everything would only destroy what the test stands on.
    const foreign =
      valid.who === 'admin' ? [] : [server, image, keypair, network, world.users.neighbour, world.projects.neighbour];
    const replaced = random.chance(0.35) && foreign.length > 0 ? random.pick(foreign) : random.pick(SEGMENTS);
    draft.path = draft.path.replace(before, () => `/${replaced}`);
    if (/%0d|%00/i.test(replaced) && target.service === 'image') draft.query = [];
  },
};

const query: Mutation = {
  name: 'query',
  fits: ({ route }) => route.method === 'GET',
  apply(draft, { target, random }) {
    const keys = queryKeys(target);
    for (let left = 1 + random.below(3); left > 0; left--)
      draft.query.push(`${random.pick(keys)}=${random.pick(QUERY_VALUES)}`);
  },
};

/** What lists know, and some more; those of the image service are not in a schema. */
const COMMON_KEYS = [
  'limit',
  'marker',
  'name',
  'sort',
  'sort_key',
  'sort_dir',
  'status',
  'unknown',
  '__proto__',
  'constructor',
];
const IMAGE_KEYS = [
  'visibility',
  'member_status',
  'tag',
  'size_min',
  'created_at',
  'os_hidden',
  'protected',
  'owner',
  'id',
  'min_ram',
];

function queryKeys({ service, route }: Target): string[] {
  const schemas = [route.query ?? []].flat() as { schema?: object; properties?: object }[];
  const known = schemas.flatMap((each) => {
    const schema = (each.schema ?? each) as { properties?: object };
    return Object.keys(schema.properties ?? {});
  });
  return [...known, ...known, ...COMMON_KEYS, ...(service === 'image' ? IMAGE_KEYS : [])];
}

const MUTATIONS: readonly Mutation[] = [
  json,
  json,
  json,
  json,
  segment,
  segment,
  query,
  query,
  query,
  {
    name: 'body',
    fits: hasJson,
    apply(draft, { random }) {
      draft.body = random.pick(BODIES) ?? undefined;
    },
  },
  {
    name: 'unexpected body',
    fits: (target, valid) => !hasBody(target, valid) && target.route.method !== 'GET',
    apply(draft, { random }) {
      draft.body = random.pick(BODIES) ?? Buffer.from('{}');
      if (random.chance(0.7)) set(draft, 'content-type', random.pick(['application/json', ...CONTENT_TYPES]));
    },
  },
  {
    name: 'token',
    fits: needsToken,
    apply(draft, { world, random }) {
      draft.who = 'somebody';
      set(draft, 'x-auth-token', random.pick([null, ...TOKENS, ...world.uselessTokens]));
    },
  },
  {
    name: 'domain token',
    fits: (target, { who }) => needsToken(target) && who === 'admin',
    apply(draft, { world }) {
      draft.who = 'admin';
      set(draft, 'x-auth-token', world.domainToken);
    },
  },
  {
    name: 'other caller',
    fits: (target, { who }) => needsToken(target) && who !== 'admin',
    apply(draft, { world, random }) {
      draft.who = random.pick(['reader', 'neighbour']);
      set(draft, 'x-auth-token', world.tokens[draft.who]);
    },
  },
  {
    name: 'demo for admin',
    fits: (target, { who }) => needsToken(target) && who === 'admin',
    apply(draft, { world }) {
      draft.who = 'demo';
      set(draft, 'x-auth-token', world.tokens.demo);
    },
  },
  {
    name: 'content type',
    fits: hasBody,
    apply: (draft, { random }) => set(draft, 'content-type', random.pick([null, ...CONTENT_TYPES])),
  },
  {
    name: 'microversion',
    fits: ({ service }) => service === 'compute',
    apply(draft, { random }) {
      const value = random.pick(MICROVERSIONS);
      if (random.chance(0.7)) set(draft, 'openstack-api-version', value);
      else set(draft, 'x-openstack-nova-api-version', value.replace(/^compute /, ''));
    },
  },
  {
    name: 'gzip',
    fits: hasBody,
    apply(draft) {
      draft.body = gzipSync(draft.body ?? Buffer.from('{}'));
      set(draft, 'content-encoding', 'gzip');
    },
  },
  {
    name: 'header twice',
    fits: always,
    apply(draft, { random, world }) {
      const [name, value] = random.pick(draft.headers);
      if (name !== 'host') draft.headers.push([name, random.pick([value, 'x', world.tokens.demo])]);
      else draft.headers.push(['x-openstack-request-id', 'a'], ['x-openstack-request-id', 'b']);
    },
  },
  {
    name: 'method',
    fits: always,
    apply(draft, { random }) {
      draft.method = random.pick(METHODS);
      draft.isBrokenHttp ||= draft.method === 'BREW' || draft.method === 'CONNECT';
    },
  },
  {
    name: 'host',
    fits: always,
    apply(draft, { random }) {
      set(draft, 'host', random.pick(HOSTS));
      draft.isBrokenHttp = true;
    },
  },
  {
    name: 'path',
    fits: always,
    apply(draft, { world, random }) {
      const { path } = draft;
      draft.path = random.pick([
        `${path}/`,
        `${path}.json`,
        `/${path}`,
        path.replace('/v2.1', '/v2%2E1').replace('/v3', '/%763').replace('/v2/', '/%762/'),
        world.url + path,
        `http://evil.example${path}`,
        path.toUpperCase(),
        `${path};a=b`,
        `${path}%20`,
        `${path}#x`,
        path.replace(/\/([^/]*)$/, '//$1'),
        path.replace(/\/([^/]*)$/, '/./$1'),
        path.replace('/', '/../'),
      ]);
    },
  },
  {
    name: 'request id',
    fits: always,
    apply: (draft, { random }) =>
      set(
        draft,
        'x-openstack-request-id',
        random.pick(['', 'req-1', 'x'.repeat(4000), '../../etc', 'req-00000000-0000-0000-0000-00000000000g']),
      ),
  },
  {
    name: 'range',
    fits: ({ service, route }) => service === 'image' && route.path.endsWith('/file'),
    apply: (draft, { random }) => set(draft, 'range', random.pick(RANGES)),
  },
  {
    name: 'cut off',
    fits: hasBody,
    apply(draft, { random }) {
      draft.framing = random.pick(['cut-chunked', 'cut-length']);
      draft.isBrokenHttp = true;
    },
  },
  {
    name: 'chunked',
    fits: hasBody,
    apply(draft) {
      draft.framing = 'chunked';
    },
  },
  {
    name: 'length',
    fits: hasBody,
    apply(draft, { random }) {
      draft.framing = 'as-is';
      draft.isBrokenHttp = true;
      set(draft, 'content-length', random.pick(['-1', 'abc', '1e9', '99999999999999999999', '0', '1', '0x10', '']));
      if (random.chance(0.3))
        draft.headers.push(['transfer-encoding', random.pick(['chunked', 'gzip', 'identity', 'xchunked'])]);
    },
  },
  {
    name: 'expect',
    fits: hasBody,
    apply(draft, { random }) {
      set(draft, 'expect', random.pick(['100-continue', 'the unexpected']));
      draft.isBrokenHttp = true;
    },
  },
];
