/**
 * Addresses of a subnet: taken at random from its pools, so that one which was just given back is not given to the next guest,
 * and that many who ask at once seldom meet. A full pool is only read through when guesses did not find a gap.
 *
 * The unique index on (subnet, address) is what keeps an address from being given twice. Each function looks before its caller
 * writes: so on PostgreSQL who meets another is run again.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { Queries } from '#db/database.ts';
import type { SubnetRow } from '#db/tables/network.ts';
import { type Address, fromHex, type IpVersion, toHex } from '#domain/network/address.ts';
import { type Pool, parsePool, type Range, sizeOf } from '#domain/network/cidr.ts';

/** Up to so many addresses, the pools are read at once. */
const SMALL = 256n;
const GUESSES = 8;
const PAGE = 256;

/** A free address of the pools, as the record keeps it; null when there is none. Writes nothing. */
export async function freeAddress(trx: Queries, subnet: SubnetRow): Promise<string | null> {
  const pools = poolsOf(subnet);
  const total = pools.reduce((sum, pool) => sum + sizeOf(pool), 0n);
  if (total === 0n) return null;
  if (total <= SMALL) return pickOfSmall(trx, subnet.id, pools);
  return (await guess(trx, subnet.id, pools, total)) ?? firstGap(trx, subnet.id, pools);
}

/** Whether nobody has the address. */
export async function isFree(trx: Queries, subnetId: string, address: string): Promise<boolean> {
  return (await takenOf(trx, subnetId, [address])).size === 0;
}

export function poolsOf(subnet: Pick<SubnetRow, 'allocation_pools'>): Range[] {
  const pools = JSON.parse(subnet.allocation_pools) as Pool[];
  return pools.flatMap((pool) => parsePool(pool) ?? []);
}

async function pickOfSmall(trx: Queries, subnetId: string, pools: readonly Range[]): Promise<string | null> {
  const all = pools.flatMap((pool) => Array.from({ length: Number(sizeOf(pool)) }, (_, index) => hexAt(pool, index)));
  const taken = await takenOf(trx, subnetId, all);
  const free = all.filter((address) => !taken.has(address));
  return free.length === 0 ? null : (free[randomInt(free.length)] ?? null);
}

async function guess(trx: Queries, subnetId: string, pools: readonly Range[], total: bigint): Promise<string | null> {
  const guesses = Array.from({ length: GUESSES }, () => nth(pools, randomBelow(total)));
  const taken = await takenOf(trx, subnetId, guesses);
  return guesses.find((address) => !taken.has(address)) ?? null;
}

/** The lowest one, page by page. */
async function firstGap(trx: Queries, subnetId: string, pools: readonly Range[]): Promise<string | null> {
  for (const pool of pools) {
    let next = pool.first;
    for (let isFull = true; isFull && next <= pool.last; ) {
      const rows = await trx
        .selectFrom('port_addresses')
        .select('address')
        .where('subnet_id', '=', subnetId)
        .where('address', '>=', hexOf(pool.version, next))
        .where('address', '<=', hexOf(pool.version, pool.last))
        .orderBy('address')
        .limit(PAGE)
        .execute();
      for (const { address } of rows) {
        if (fromHex(address).value !== next) break;
        next += 1n;
      }
      const last = rows.at(-1);
      isFull = rows.length === PAGE && last !== undefined && fromHex(last.address).value === next - 1n;
    }
    if (next <= pool.last) return hexOf(pool.version, next);
  }
  return null;
}

async function takenOf(trx: Queries, subnetId: string, addresses: readonly string[]): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('port_addresses')
    .select('address')
    .where('subnet_id', '=', subnetId)
    .where('address', 'in', [...addresses])
    .execute();
  return new Set(rows.map(({ address }) => address));
}

function nth(pools: readonly Range[], index: bigint): string {
  let rest = index;
  for (const pool of pools) {
    if (rest < sizeOf(pool)) return hexOf(pool.version, pool.first + rest);
    rest -= sizeOf(pool);
  }
  throw new RangeError('beyond the pools');
}

const hexAt = (pool: Range, index: number) => hexOf(pool.version, pool.first + BigInt(index));

function hexOf(version: IpVersion, value: bigint): string {
  return toHex({ version, value } satisfies Address);
}

/** Uniform to within 2^-64. */
function randomBelow(limit: bigint): bigint {
  return BigInt(`0x${randomBytes(24).toString('hex')}`) % limit;
}
