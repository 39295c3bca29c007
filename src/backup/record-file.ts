/**
 * The record as a file: a line of JSON per row, compressed. It is the same for both engines, so that a cloud that began on SQLite can go
 * on with PostgreSQL. What only lives as long as processes do is not in it: hosts and services register again.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { Transaction } from 'kysely';
import type { Schema } from '#db/database.ts';

type Table = keyof Schema;

/** The tables by their keys, each after those that it refers to. */
export const KEPT: readonly (readonly [Table, readonly string[]])[] = [
  ['projects', ['id']],
  ['users', ['id']],
  ['roles', ['id']],
  ['role_assignments', ['user_id', 'project_id', 'role_id']],
  ['token_revocations', ['id']],
  ['signing_keys', ['id']],
  ['images', ['id']],
  ['image_properties', ['image_id', 'name']],
  ['image_tags', ['image_id', 'tag']],
  ['image_members', ['image_id', 'member_id']],
  ['flavors', ['id']],
  ['flavor_access', ['flavor_id', 'project_id']],
  ['keypairs', ['user_id', 'name']],
  ['servers', ['id']],
  ['server_groups', ['id']],
  ['server_group_members', ['server_id']],
  ['server_migrations', ['id']],
  ['operations', ['id']],
  ['journal', ['operation_id', 'seq']],
  ['aggregates', ['id']],
  ['aggregate_hosts', ['aggregate_id', 'host']],
  ['networks', ['id']],
  ['subnets', ['id']],
  ['ports', ['id']],
  ['port_addresses', ['subnet_id', 'address']],
  ['security_groups', ['id']],
  ['security_group_rules', ['id']],
  ['port_security_groups', ['port_id', 'group_id']],
  ['routers', ['id']],
  ['floating_ips', ['id']],
  ['compute_quotas', ['project_id', 'resource']],
  ['network_quotas', ['project_id', 'resource']],
  ['network_tags', ['resource_id', 'tag']],
  ['auto_topologies', ['project_id']],
];

/** Of processes, messages on their way, and links that expire. */
export const LEFT_OUT: readonly Table[] = [
  'hosts',
  'services',
  'allocations',
  'outbox',
  'console_tokens',
  'identity_revision',
];

const PAGE = 500;

interface Line {
  readonly table: Table;
  readonly row: Readonly<Record<string, unknown>>;
}

/** Writes all rows, replacing a file that is there; `onRow` sees each. */
export async function writeRecord(trx: Transaction<Schema>, path: string, onRow: (line: Line) => void): Promise<void> {
  const lines = async function* () {
    for (const [table, keys] of KEPT) {
      for await (const row of rowsOf(trx, table, keys)) {
        onRow({ table, row });
        yield `${JSON.stringify({ table, row })}\n`;
      }
    }
  };
  await pipeline(lines, createGzip(), createWriteStream(path, { mode: 0o600, flush: true }));
}

/** Puts the rows of a file into an empty record of the same schema, except those that `keep` does not want. */
export async function readRecord(trx: Transaction<Schema>, path: string, keep: (line: Line) => boolean): Promise<void> {
  const tables = new Set<string>(KEPT.map(([table]) => table));
  let waiting: Line[] = [];
  const flush = async () => {
    const [first] = waiting;
    // The rows are as they were written; the engine refuses what does not fit its tables.
    if (first)
      await trx
        .insertInto(first.table)
        .values(waiting.map(({ row }) => row) as never)
        .execute();
    waiting = [];
  };
  for await (const text of linesOf(path)) {
    const line = JSON.parse(text) as Line;
    if (!tables.has(line.table)) throw new TypeError(`${path}: no table ${line.table} is kept`);
    if (!keep(line)) continue;
    if (waiting[0]?.table !== line.table || waiting.length === PAGE) await flush();
    waiting.push(line);
  }
  await flush();
}

async function* rowsOf(trx: Transaction<Schema>, table: Table, keys: readonly string[]) {
  for (let offset = 0; ; offset += PAGE) {
    let query = trx.selectFrom(table).selectAll();
    for (const key of keys) query = query.orderBy(trx.dynamic.ref(key));
    const page = await query.offset(offset).limit(PAGE).execute();
    yield* page;
    if (page.length < PAGE) return;
  }
}

/** A file that is cut short rejects. Only `\n` ends a line: `readline` would also cut at separators that text may have in it. */
async function* linesOf(path: string): AsyncIterable<string> {
  const text = new PassThrough({ encoding: 'utf8' });
  const unpacking = pipeline(createReadStream(path), createGunzip(), text);
  unpacking.catch(() => undefined); // thrown by whoever reads
  let rest = '';
  for await (const piece of text) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  await unpacking;
}
