/** The live migrations of one server that go on: how far they are, and ending them. Source: Nova's API reference. */
import { Type } from 'typebox';
import { computeContract } from '#contracts/compute.ts';
import { LIVE_IN_PROGRESS, liveMigrationsOf, migrationOf } from '#db/repo/migration-list.ts';
import { cancelOperation, findOperation } from '#db/repo/operations.ts';
import type { ServerMigrationRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import type { Progress } from '#domain/operation/operation.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { visibleServer } from '../servers/visible-server.ts';
import { isLiveInProgress, liveMigrationView } from './view.ts';

const PATH = '/v2.1/servers/:id/migrations';
const RULE = 'os_compute_api:servers:migrations';

export function serverMigrationRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  const progressOf = async ({ operation_id: id }: ServerMigrationRow): Promise<Progress | null> => {
    const operation = id === null ? undefined : await findOperation(queries, id);
    return operation?.progress ? (JSON.parse(operation.progress) as Progress) : null;
  };
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the live migrations of a server that go on.',
      access: { rule: `${RULE}:index`, role: 'admin' },
      from: 23,
      success: 200,
      handle: async (request) => {
        const server = await visibleServer(deps, request);
        const migrations: unknown[] = [];
        for (const row of await liveMigrationsOf(queries, server.id))
          migrations.push(liveMigrationView(row, await progressOf(row), request.version));
        return { body: { migrations } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:migrationId`,
      doc: 'Shows a live migration that goes on.',
      access: { rule: `${RULE}:show`, role: 'admin' },
      from: 23,
      success: 200,
      handle: async (request) => {
        const server = await visibleServer(deps, request);
        const id = request.params.migrationId ?? '';
        const row = await find(deps, server.id, id);
        const refused = (reason: string) => new CloudError('notThere', { reason });
        if (!row) throw refused(`In-progress live migration ${id} is not found for server ${server.id}.`);
        if (row.type !== 'live-migration')
          throw refused(`Migration ${id} for server ${server.id} is not live-migration.`);
        if (!isLiveInProgress(row)) throw refused(`Live migration ${id} for server ${server.id} is not in progress.`);
        return { body: { migration: liveMigrationView(row, await progressOf(row), request.version) } };
      },
    }),
    route({
      method: 'POST',
      path: `${PATH}/:migrationId/action`,
      doc: 'Brings a live migration to its end: the guest stands still while the rest goes.',
      access: { rule: `${RULE}:force_complete`, role: 'admin' },
      from: 22,
      body: Type.Object({ force_complete: Type.Null() }, { additionalProperties: false }),
      success: 202,
      handle: async (request) => {
        const server = await visibleServer(deps, request);
        const id = request.params.migrationId ?? '';
        const row = await find(deps, server.id, id);
        if (row?.type !== 'live-migration')
          throw new CloudError('badRequest', { reason: `Migration ${id} not found for instance ${server.id}` });
        if (row.status !== 'running') throw inWrongState(row, 'force complete');
        const agent = deps.rpc.client(computeContract, 'nova-api', row.source_host);
        await agent.hurryMigration({ serverId: server.id });
        return {};
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:migrationId`,
      doc: 'Ends a live migration: the server stays where it is. From 2.65 on also one that has not begun to copy.',
      access: { rule: `${RULE}:delete`, role: 'admin' },
      from: 24,
      success: 202,
      handle: async (request) => {
        const server = await visibleServer(deps, request);
        if (server.task_state !== 'migrating')
          throw new CloudError('instanceInState', {
            id: server.id,
            action: 'abort live migration',
            attribute: 'task_state',
            state: server.task_state ?? 'None',
          });
        const row = await runningMigration(deps, server.id, request.params.migrationId ?? '', request.version);
        const reason = `${caller(request).userName} asked for it`;
        if (!(await cancelOperation(queries, row.operation_id, reason, deps.now()))) throw inWrongState(row, 'abort');
        deps.announce([{ operationId: row.operation_id, requestId: request.requestId }]);
        return {};
      },
    }),
  ];
}

async function find({ db }: ApiDeps, serverId: string, id: string): Promise<ServerMigrationRow | undefined> {
  return /^[0-9]{1,9}$/.test(id) ? migrationOf(db.queries, serverId, Number(id)) : undefined;
}

/** A live migration that can be ended now. Throws 404 where there is none, and 400 where it is too early or too late. */
async function runningMigration(
  deps: ApiDeps,
  serverId: string,
  id: string,
  version: number,
): Promise<ServerMigrationRow & { readonly operation_id: string }> {
  const row = await find(deps, serverId, id);
  if (row?.type !== 'live-migration')
    throw new CloudError('notThere', { reason: `Migration ${id} not found for instance ${serverId}` });
  const isBeforeItsEnd = LIVE_IN_PROGRESS.includes(row.status) && row.status !== 'post-migrating';
  const { operation_id: operationId } = row;
  if (operationId === null || !(version >= 65 ? isBeforeItsEnd : row.status === 'running'))
    throw inWrongState(row, 'abort');
  return { ...row, operation_id: operationId };
}

function inWrongState(
  { id, server_id: serverId, status }: ServerMigrationRow,
  method: 'abort' | 'force complete',
): CloudError {
  return new CloudError('badRequest', {
    reason: `Migration ${id} state of instance ${serverId} is ${status}. Cannot ${method} while the migration is in this state.`,
  });
}
