/**
 * What the networks of a cloud's host may not leave behind: namespaces, devices, rules, helpers and addresses that the record does not
 * ask for; and nothing at all once the guests are gone with their cloud.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Database } from '#db/database.ts';
import { hostTag, type Names, namesOf, tapName } from '#services/compute/network/names.ts';
import { hostPlan } from '#services/conductor/host-network/host-plan.ts';
import { dnsmasqs } from './dnsmasqs.ts';

const run = promisify(execFile);

/** Runs a command where the plane's namespaces are named. */
type Look = (...argv: readonly string[]) => Promise<string>;

interface Device {
  readonly ifname: string;
  readonly addr_info?: readonly { readonly local: string; readonly scope: string }[];
}

/** One line for each; nothing is said of hosts without networks. `data` is that of the cloud's only host. */
export async function leakedNetworks(db: Database, data: string): Promise<string[]> {
  const hosts = await db.queries
    .selectFrom('hosts')
    .select(['name', 'network_kind'])
    .where('network_kind', '!=', 'none')
    .execute();
  const found: string[] = [];
  for (const { name, network_kind } of hosts) {
    const look = network_kind === 'rooted' ? onMachine : inUserNamespace(data);
    if (look) found.push(...(await leakedOf(db, data, name, look)));
  }
  return found;
}

/** Whatever there is of a host's networks, of an earlier process too; needs root where the networks did. */
export async function planeTraces(data: string, host = hostname()): Promise<string[]> {
  const names = namesFor(data, host);
  const look = inUserNamespace(data);
  const isRoot = process.geteuid?.() === 0;
  return [
    ...(isRoot ? await outside(names, onMachine) : []),
    ...helpers(data).map(({ line }) => line),
    ...(look ? [`a user namespace of ${data}`] : []),
  ];
}

async function leakedOf(db: Database, data: string, host: string, look: Look): Promise<string[]> {
  const { networks, routers } = await hostPlan(db.queries, host);
  const names = namesFor(data, host);
  const spaces = new Map(networks.map((network) => [names.network(network.id), network]));
  const wanted = new Set<string>([
    ...spaces.keys(),
    ...routers.map(({ id }) => names.router(id)),
    ...networks.map(({ id }) => names.meta(id)),
    ...networks.filter(({ external }) => external).map(({ id }) => names.external(id)),
    // Guests without a card are in it, too: it goes with the host.
    names.guests,
    ...(networks.length > 0 ? [names.metaBridge, names.table] : []),
  ]);
  const there = await outside(names, look);
  const found = there.filter((name) => !wanted.has(name)).map((name) => `network: ${name} is there for nobody`);
  for (const [space, network] of spaces) {
    if (!there.includes(space)) continue;
    const taps = network.ports.map(({ id }) => tapName(id));
    for (const { ifname, addr_info = [] } of await devicesIn(look, space)) {
      if (TAP.test(ifname) && !taps.includes(ifname)) found.push(`network: ${space} has ${ifname}, which is no port’s`);
      const own = addr_info.filter(({ scope }) => scope === 'global').length;
      // One of the network, and one of each port.
      if (ifname === 'meta' && own > 1 + network.ports.length)
        found.push(`network: ${space} has ${own} addresses for metadata, and ${network.ports.length} ports`);
    }
  }
  if (there.includes(names.guests))
    for (const { ifname } of await devicesIn(look, names.guests))
      if (TAP.test(ifname)) found.push(`network: ${ifname} is in no network`);
  const lost = helpers(data).filter(({ space }) => !wanted.has(space));
  return [...found, ...lost.map(({ line }) => `network: helper of nobody: ${line}`)];
}

const TAP = /^t[0-9a-f]{12}$/;

function namesFor(data: string, host: string): Names {
  return namesOf(hostTag(data, host));
}

/** Namespaces, devices and the table of rules, by their names. */
async function outside(names: Names, look: Look): Promise<string[]> {
  const spaces = (await look('ip', 'netns', 'list')).split('\n').map((line) => line.split(' ')[0] ?? '');
  const links = JSON.parse((await look('ip', '-json', 'link', 'show')) || '[]') as Device[];
  const tables = (await look('nft', 'list', 'tables')).split('\n').map((line) => line.split(' ').at(-1) ?? '');
  return [
    ...spaces.filter((name) => name.startsWith(names.prefix)),
    ...links.map(({ ifname }) => ifname).filter(names.isOurs),
    ...tables.filter((name) => name === names.table),
  ];
}

/** None where the namespace has gone meanwhile. */
async function devicesIn(look: Look, space: string): Promise<Device[]> {
  try {
    return JSON.parse(await look('ip', '-netns', space, '-json', 'address', 'show'));
  } catch {
    return [];
  }
}

/** Every dnsmasq of the folder, with the namespace that it is for. */
function helpers(data: string): { space: string; line: string }[] {
  const dir = join(data, 'network');
  return dnsmasqs(dir).map((line) => ({ space: line.split(`--conf-file=${dir}/`)[1]?.split('/')[0] ?? '', line }));
}

async function onMachine(...argv: readonly string[]): Promise<string> {
  const [program = '', ...args] = argv;
  try {
    return (await run(program, args, { encoding: 'utf8' })).stdout;
  } catch (error) {
    // A machine without these programs has no networks either.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** Null: it has ended, and everything in it. */
function inUserNamespace(data: string): Look | null {
  const note = readOrNothing(join(data, 'network', 'holder.json'));
  if (note === '') return null;
  const { process: holder } = JSON.parse(note) as { process: { pid: number } };
  if (readOrNothing(`/proc/${holder.pid}/comm`).trim() !== 'sleep') return null;
  const enter = ['nsenter', '--target', `${holder.pid}`, '--user', '--net', '--mount', '--preserve-credentials', '--'];
  return (...argv) => onMachine(...enter, ...argv);
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It ended, or never was.
    return '';
  }
}
