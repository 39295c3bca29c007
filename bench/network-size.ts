/**
 * How the network service grows with the cloud: how long the same answer takes with one network of 10 ports, with 1,000
 * networks of as many projects, and with 1,000 of one. The service's own modules over a record on disk, asked as over HTTP.
 */
import { join } from 'node:path';
import pino from 'pino';
import { openSqlite } from '#db/sqlite.ts';
import type { AuthContext } from '#http/auth.ts';
import { httpServer, mount } from '#http/server.ts';
import { authContext } from '#http/testing/auth-context.ts';
import { networkService } from '#services/network/network-service.ts';
import { fillNetworks } from './lib/many-networks.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { duration, median, timed } from './lib/stats.ts';

const NETWORKS = 1_000;
const PORTS = 10;
const GOAL = 2;

const CALLERS: Readonly<Record<string, AuthContext>> = {
  owner: authContext('owner', 'project-0', ['member', 'reader']),
  admin: authContext('admin', 'admin', ['admin', 'member', 'reader']),
};

export const networkSize: Benchmark = {
  name: 'network-size',
  async run({ quick, scratch, say }) {
    const rounds = quick ? 50 : 300;
    say(`fills a record with ${NETWORKS} networks`);
    const clouds = [
      await open(join(scratch, 'one.sqlite'), 1, 1),
      await open(join(scratch, 'many.sqlite'), NETWORKS, NETWORKS),
      await open(join(scratch, 'large.sqlite'), NETWORKS, 1),
    ];
    const rows: Row[] = [];
    for (const [what, request] of requests()) {
      say(what);
      const times = clouds.map((): number[] => []);
      // In turns, so that a busy moment hits all; the first rounds only warm up.
      for (let round = -20; round < rounds; round++)
        for (const [at, cloud] of clouds.entries()) {
          const ms = await timed(() => cloud.ask(request));
          if (round >= 0) times[at]?.push(ms);
        }
      rows.push(row(what, times.map(median), rounds));
    }
    for (const { close } of clouds) await close();
    return rows;
  },
};

interface Asked {
  readonly as: string;
  readonly path: string;
  /** Makes a port there. */
  readonly isCreate?: true;
}

function requests(): readonly (readonly [string, Asked])[] {
  return [
    ['GET /networks?limit=1', { as: 'owner', path: '/networks?limit=1' }],
    ['GET /ports?limit=10', { as: 'owner', path: '/ports?limit=10' }],
    ['GET /ports?network_id', { as: 'admin', path: '/ports?network_id={network}' }],
    ['GET /networks?limit=1, as administrator', { as: 'admin', path: '/networks?limit=1' }],
    ['GET /ports?limit=10, as administrator', { as: 'admin', path: '/ports?limit=10' }],
    ['POST /ports', { as: 'owner', path: '/ports', isCreate: true }],
  ];
}

function row(what: string, figures: readonly number[], rounds: number): Row {
  const [least = Number.NaN, ...larger] = figures;
  const ratio = Math.max(...larger) / least;
  return {
    what: `${what} with 1 · ${NETWORKS} · ${NETWORKS} networks`,
    ours: figures.map(duration).join(' · '),
    ratio,
    goal: `≤ ${GOAL}× of an empty system`,
    met: ratio <= GOAL,
    how: `median of ${rounds} requests each, in turns, on the service's own modules; ${PORTS} ports in each network; first one project for each network, then one for all; the worse ratio`,
  };
}

async function open(path: string, count: number, projects: number) {
  const db = await openSqlite(path);
  const network = await fillNetworks(db, { networks: count, ports: PORTS, projects });
  const log = pino({ level: 'silent' });
  const options = { log, authenticate: (token: string) => CALLERS[token] ?? null };
  const server = httpServer(options);
  mount(server, networkService({ db, log, now: Date.now, changed: () => {} }), options);
  const send = async (method: 'GET' | 'POST' | 'DELETE', as: string, path: string, payload?: string) => {
    const headers = { 'x-auth-token': as, 'content-type': 'application/json' };
    const reply = await server.inject({
      method,
      url: `/network/v2.0${path.replace('{network}', network)}`,
      headers,
      ...(payload !== undefined && { payload }),
    });
    if (reply.statusCode >= 300) throw new Error(`${method} ${path}: ${reply.statusCode} ${reply.payload}`);
    return reply.payload;
  };
  return {
    ask: ({ as, path, isCreate }: Asked) =>
      isCreate ? send('POST', as, path, JSON.stringify({ port: { network_id: network } })) : send('GET', as, path),
    close: async () => {
      await server.close();
      await db.close();
    },
  };
}
