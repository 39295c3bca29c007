/** The columns that everything of the network service has. */
import { randomUUID } from 'node:crypto';
import { type RawBuilder, sql } from 'kysely';
import type { Queries } from '#db/database.ts';

export interface Described {
  readonly id?: string | undefined;
  readonly projectId: string;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
}

/** Of something new. */
export function standard({ id, projectId, name, description }: Described, now: number) {
  return {
    id: id ?? randomUUID(),
    project_id: projectId,
    name: name ?? '',
    description: description ?? '',
    created_at: now,
    updated_at: now,
    revision: 0,
  };
}

type Table = 'networks' | 'subnets' | 'ports' | 'routers' | 'floating_ips' | 'security_groups' | 'security_group_rules';

/** Writes the changes, none included, and that there were some. */
export async function touch(
  trx: Queries,
  table: Table,
  id: string,
  changes: Readonly<Record<string, string | number | null>>,
  now: number,
): Promise<void> {
  const columns: RawBuilder<unknown>[] = Object.entries(changes).map(
    ([name, value]) => sql`${sql.ref(name)} = ${value}`,
  );
  columns.push(sql`updated_at = ${now}`, sql`revision = revision + 1`);
  await sql`update ${sql.table(table)} set ${sql.join(columns)} where id = ${id}`.execute(trx);
}

/** Holds a row until the transaction ends, on engines that run transactions side by side too. */
export async function hold(trx: Queries, table: Table, id: string): Promise<void> {
  await sql`update ${sql.table(table)} set revision = revision where id = ${id}`.execute(trx);
}
