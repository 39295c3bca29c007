/** All that a plane has made, as words that are the same however it came to be. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { namesOf } from '#services/compute/network/names.ts';
import type { FoundLink } from '#services/compute/network/texts/links.ts';
import type { Bench } from './bench.ts';

export async function picture(bench: Bench): Promise<Record<string, string[]>> {
  const { prefix, isOurs, table } = namesOf(bench.tag);
  const calls = numbersCalled(bench.dir);
  const words = (text: string) =>
    calls(text)
      .split(/[\s,]+/)
      .filter(Boolean)
      .toSorted();
  const spaces = (await bench.commands.spaces()).filter((name) => name.startsWith(prefix)).toSorted();
  const found: Record<string, string[]> = {};
  const outside = (await bench.commands.links(null)).filter(({ ifname }) => isOurs(ifname));
  found.outside = [...words(links(outside)), ...words(await bench.outside('nft', 'list', 'table', 'inet', table))];
  for (const space of spaces) {
    const run = (...argv: readonly string[]) => bench.commands.run(space, argv);
    found[space] = [
      ...words(links(await bench.commands.links(space))),
      ...words(await run('nft', 'list', 'ruleset')),
      ...words(await run('ip', '-4', 'route', 'show')),
      ...words(
        (await run('bridge', 'fdb', 'show'))
          .split('\n')
          .filter((line) => line.includes('static'))
          .join(' '),
      ),
      ...words(await run('cat', '/proc/sys/net/bridge/bridge-nf-call-iptables', '/proc/sys/net/ipv4/ip_forward')),
      ...helpers(bench.dir, space),
    ];
  }
  found.folders = readdirSync(bench.dir, { withFileTypes: true })
    .filter((each) => each.isDirectory())
    .map(({ name }) => name);
  return found;
}

/** One line for each word that is in only one of two pictures. */
export function differences(one: Record<string, string[]>, other: Record<string, string[]>): string[] {
  const places = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  const less = (from: readonly string[] = [], what: readonly string[] = []) => {
    const rest = [...from];
    for (const word of what) if (rest.includes(word)) rest.splice(rest.indexOf(word), 1);
    return rest;
  };
  return places.flatMap((place) => [
    ...less(one[place], other[place]).map((word) => `${place}: no ${word}`),
    ...less(other[place], one[place]).map((word) => `${place}: ${word}`),
  ]);
}

function links(found: readonly FoundLink[]): string {
  return found
    .map(({ ifname, mtu, master, flags, addr_info }) => {
      const addresses = (addr_info ?? []).filter(({ scope }) => scope === 'global');
      return [
        ifname,
        mtu,
        master,
        flags?.includes('UP'),
        ...addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      ].join(' ');
    })
    .join('\n');
}

/** The files of its dnsmasq, and how many run with them. */
function helpers(dir: string, space: string): string[] {
  const folder = join(dir, space);
  if (!existsSync(folder)) return ['no files'];
  const files = readdirSync(folder).filter((name) => name !== 'pid');
  const running = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(`--conf-file=${folder}/`));
  return [...files.flatMap((name) => [name, readFileSync(join(folder, name), 'utf8')]), ...running].toSorted();
}

/** Numbers depend on who came first: here they have the name of who has them. */
function numbersCalled(dir: string): (text: string) => string {
  const { range, numbers } = JSON.parse(readFileSync(join(dir, 'identities.json'), 'utf8')) as {
    range: string;
    numbers: Record<string, number>;
  };
  const names = new Map(Object.entries(numbers).map(([holder, number]) => [number, holder.replace(' ', '-')]));
  const called = (number: number, text: string) => names.get(number) ?? (number === 0 ? text : `${text}?`);
  const [a = 0, b = 0, c = 0] = range.split('.').map(Number);
  return (text) =>
    text
      .replaceAll(/\b0x([0-9a-f]{4})([0-9a-f]{4})\b/g, (all, from, to) =>
        all === '0xffff0000' || all === '0x0000ffff'
          ? all
          : `from=${called(Number.parseInt(from, 16), all)},to=${called(Number.parseInt(to, 16), all)}`,
      )
      .replaceAll(/\b(in|out)_(\d+)\b/g, (all, way, number) => `${way}_${called(Number(number), all)}`)
      .replaceAll(/\b(\d+)\.(\d+)\.(\d+)\.(\d+)\b/g, (all, one, two, three, four) => {
        const number = (Number(three) - c) * 256 + Number(four);
        return Number(one) === a && Number(two) === b && names.has(number) ? `at=${names.get(number)}` : all;
      });
}
