/** Ranges of external networks that a machine has a second time: what is sent there goes to whoever was first. */
import { overlap, prefixOf } from './addresses.ts';
import type { FoundLink } from './texts/links.ts';

/** One line for each device of others that has an address there, in words for people. `ranges`: IPv4, as CIDR. */
export function rangeConflicts(
  ranges: readonly string[],
  links: readonly FoundLink[],
  isOurs: (device: string) => boolean,
): string[] {
  return links
    .filter(({ ifname }) => !isOurs(ifname))
    .flatMap(({ ifname, addr_info = [] }) =>
      addr_info.flatMap(({ local, prefixlen }) => {
        if (local === undefined || prefixlen === undefined || local.includes(':')) return [];
        // A wider range of the machine's gives way to ours.
        const taken = ranges.filter((range) => prefixlen >= prefixOf(range) && overlap(range, `${local}/${prefixlen}`));
        return taken.map((range) => conflict(range, `${local}/${prefixlen}`, ifname));
      }),
    );
}

function conflict(range: string, address: string, device: string): string {
  const whose = /^mn[a-z0-9]{1,5}x[0-9a-f]{7}$/.test(device) ? `${device}, of another cloud on this machine` : device;
  return (
    `${range} of an external network is that of ${address} too (${whose}): floating IPs of one of the two are not reached. ` +
    'Give a new cloud another range by `public_cidr`, and one that has run already another external network.'
  );
}
