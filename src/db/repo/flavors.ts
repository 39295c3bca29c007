/** Queries of flavors and of who may use the private ones. */
import type { Queries } from '../database.ts';
import type { FlavorRow } from '../tables/compute.ts';

/** Flavors that the project may use; null: an administrator, all of them. `isPublic` null: either kind. */
export async function listFlavors(
  db: Queries,
  filter: {
    readonly projectId: string | null;
    readonly isPublic: boolean | null;
    readonly minDiskGib: number;
    readonly minRamMib: number;
  },
): Promise<FlavorRow[]> {
  let query = db
    .selectFrom('flavors')
    .selectAll()
    .where('disk_gib', '>=', filter.minDiskGib)
    .where('memory_mib', '>=', filter.minRamMib);
  const { projectId } = filter;
  if (projectId !== null) {
    query = query
      .where('disabled', '=', 0)
      .where((e) =>
        e.or([
          e('is_public', '=', 1),
          e('id', 'in', e.selectFrom('flavor_access').select('flavor_id').where('project_id', '=', projectId)),
        ]),
      );
  }
  if (filter.isPublic !== null) query = query.where('is_public', '=', filter.isPublic ? 1 : 0);
  return query.orderBy('id').execute();
}

/** A flavor that the project may use (null: any flavor). */
export async function findFlavor(db: Queries, id: string, projectId: string | null): Promise<FlavorRow | undefined> {
  const row = await db.selectFrom('flavors').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row || projectId === null || row.is_public === 1) return row;
  const access = await db
    .selectFrom('flavor_access')
    .select('flavor_id')
    .where('flavor_id', '=', id)
    .where('project_id', '=', projectId)
    .executeTakeFirst();
  return access && row;
}

export async function insertFlavor(db: Queries, row: FlavorRow): Promise<void> {
  await db.insertInto('flavors').values(row).execute();
}

export async function updateFlavor(db: Queries, id: string, patch: Partial<FlavorRow>): Promise<void> {
  await db.updateTable('flavors').set(patch).where('id', '=', id).execute();
}

/** Answers whether there was one. Servers keep the flavor as it was. */
export async function deleteFlavor(db: Queries, id: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('flavors').where('id', '=', id).executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function grantFlavor(db: Queries, flavorId: string, projectId: string): Promise<void> {
  await db.insertInto('flavor_access').values({ flavor_id: flavorId, project_id: projectId }).execute();
}

export async function revokeFlavor(db: Queries, flavorId: string, projectId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('flavor_access')
    .where('flavor_id', '=', flavorId)
    .where('project_id', '=', projectId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function flavorProjects(db: Queries, flavorId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('flavor_access')
    .select('project_id')
    .where('flavor_id', '=', flavorId)
    .orderBy('project_id')
    .execute();
  return rows.map((row) => row.project_id);
}
