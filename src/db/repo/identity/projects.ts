/** Projects: one row each, in the one domain `default`. Deleting one deletes what anybody may do there. */
import type { Queries } from '#db/database.ts';
import type { ProjectRow } from '#db/tables/identity.ts';

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly enabled: boolean;
  /** Epoch ms. */
  readonly createdAt: number;
}

export type ProjectChanges = Partial<Omit<Project, 'id' | 'createdAt'>>;

export interface ProjectFilter {
  readonly name?: string | undefined;
  readonly enabled?: boolean | undefined;
}

/** Projects by name. */
export async function listProjects(queries: Queries, filter: ProjectFilter = {}): Promise<Project[]> {
  let query = queries.selectFrom('projects').selectAll();
  if (filter.name !== undefined) query = query.where('name', '=', filter.name);
  if (filter.enabled !== undefined) query = query.where('enabled', '=', Number(filter.enabled));
  return (await query.orderBy('name').execute()).map(fromRow);
}

/** Projects on which the user has any role, by name. */
export async function listProjectsOf(queries: Queries, userId: string): Promise<Project[]> {
  const rows = await queries
    .selectFrom('projects')
    .selectAll()
    .where('id', 'in', (sub) => sub.selectFrom('role_assignments').select('project_id').where('user_id', '=', userId))
    .orderBy('name')
    .execute();
  return rows.map(fromRow);
}

/** The project with this id, or null. */
export async function findProject(queries: Queries, id: string): Promise<Project | null> {
  const row = await queries.selectFrom('projects').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** The project with this name, or null. */
export async function findProjectByName(queries: Queries, name: string): Promise<Project | null> {
  const row = await queries.selectFrom('projects').selectAll().where('name', '=', name).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** Throws the engine's unique violation when the name is taken. */
export async function insertProject(queries: Queries, project: Project): Promise<void> {
  await queries
    .insertInto('projects')
    .values({
      id: project.id,
      name: project.name,
      description: project.description,
      enabled: Number(project.enabled),
      created_at: project.createdAt,
    })
    .execute();
}

/** Changes what `changes` names; false where there is no such project. Throws as `insertProject`. */
export async function updateProject(queries: Queries, id: string, changes: ProjectChanges): Promise<boolean> {
  const row: Partial<ProjectRow> = {
    ...(changes.name !== undefined && { name: changes.name }),
    ...(changes.description !== undefined && { description: changes.description }),
    ...(changes.enabled !== undefined && { enabled: Number(changes.enabled) }),
  };
  if (Object.keys(row).length === 0) return (await findProject(queries, id)) !== null;
  const result = await queries.updateTable('projects').set(row).where('id', '=', id).executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False where there was no such project. */
export async function deleteProject(queries: Queries, id: string): Promise<boolean> {
  const result = await queries.deleteFrom('projects').where('id', '=', id).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

function fromRow(row: ProjectRow): Project {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    enabled: row.enabled === 1,
    createdAt: row.created_at,
  };
}
