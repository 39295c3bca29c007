/** Aggregates: sets of hosts that operators name, with metadata that zones and the scheduler read. Source: Nova's API reference. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import {
  changeAggregate,
  deleteAggregate,
  findAggregate,
  hostsByAggregate,
  insertAggregate,
  listAggregates,
  ZONE_KEY,
} from '#db/repo/aggregates.ts';
import type { AggregateRow } from '#db/tables/operating.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { Name } from '../loose-types.ts';
import { aggregateView, metadataOf, newAggregateView } from './view.ts';
import { changeZones } from './zones.ts';

const strict = { additionalProperties: false };
/** A zone is also part of `zone:host`, so it has no colon. */
const Zone = Type.Union([Type.Intersect([Name, Type.String({ pattern: '^[^:]*$' })]), Type.Null()]);

const CREATE = Type.Object(
  { aggregate: Type.Object({ name: Name, availability_zone: Type.Optional(Zone) }, strict) },
  strict,
);
const UPDATE = Type.Object(
  {
    aggregate: Type.Object(
      { name: Type.Optional(Name), availability_zone: Type.Optional(Zone) },
      { ...strict, minProperties: 1 },
    ),
  },
  strict,
);

export const PATH = '/v2.1/os-aggregates';
const RULE = 'os_compute_api:os-aggregates';

export function aggregateRoutes(deps: ApiDeps): Route[] {
  const { db, now } = deps;
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the aggregates.',
      access: { rule: `${RULE}:index`, role: 'admin' },
      success: 200,
      handle: async ({ version }) => {
        const hosts = await hostsByAggregate(db.queries);
        const rows = await listAggregates(db.queries);
        return { body: { aggregates: rows.map((row) => aggregateView(row, hosts.get(row.id), version)) } };
      },
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Makes an aggregate; with a zone, its hosts are in that.',
      access: { rule: `${RULE}:create`, role: 'admin' },
      body: CREATE,
      success: 200,
      handle: async ({ body, version }) => {
        const { name, availability_zone: zone } = body.aggregate;
        const metadata = zone ? { [ZONE_KEY]: zone } : {};
        const row = await unlessTaken(deps, name, () =>
          db.transaction((trx) => insertAggregate(trx, { name, metadata }, now())),
        );
        return { body: { aggregate: newAggregateView(row, version) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id`,
      doc: 'Shows an aggregate.',
      access: { rule: `${RULE}:show`, role: 'admin' },
      success: 200,
      handle: async ({ params, version }) => {
        const row = await knownAggregate(db.queries, params.id ?? '');
        return { body: { aggregate: await shownAggregate(db.queries, row, version) } };
      },
    }),
    route({
      method: 'PUT',
      path: `${PATH}/:id`,
      doc: 'Gives an aggregate another name or zone.',
      access: { rule: `${RULE}:update`, role: 'admin' },
      body: UPDATE,
      success: 200,
      handle: async ({ params, body, version }) => {
        const { name, availability_zone: zone } = body.aggregate;
        const changed = await unlessTaken(deps, name ?? '', () =>
          db.transaction(async (trx) => {
            const row = await knownAggregate(trx, params.id ?? '');
            const { [ZONE_KEY]: _, ...others } = metadataOf(row);
            const metadata = zone === undefined ? undefined : { ...others, ...(zone && { [ZONE_KEY]: zone }) };
            const hosts = (await hostsByAggregate(trx, row.id)).get(row.id) ?? [];
            await changeZones(
              trx,
              hosts,
              { code: 'badRequest', text: (reason) => `Cannot update aggregate ${row.id}. Reason: ${reason}` },
              () => changeAggregate(trx, row.id, { name, metadata }, now()),
            );
            return knownAggregate(trx, String(row.id));
          }),
        );
        return { body: { aggregate: await shownAggregate(db.queries, changed, version) } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:id`,
      doc: 'Deletes an aggregate that has no hosts.',
      access: { rule: `${RULE}:delete`, role: 'admin' },
      success: 200,
      handle: async ({ params }) => {
        await db.transaction(async (trx) => {
          const { id } = await knownAggregate(trx, params.id ?? '');
          if ((await hostsByAggregate(trx, id)).has(id))
            throw new CloudError('badRequest', {
              reason: `Cannot delete aggregate ${id}. Reason: Host aggregate is not empty.`,
            });
          await deleteAggregate(trx, id);
        });
        return {};
      },
    }),
  ];
}

/** By its number. Throws 404 where there is none. */
export async function knownAggregate(db: Queries, id: string): Promise<AggregateRow> {
  const row = /^[0-9]{1,9}$/.test(id) ? await findAggregate(db, Number(id)) : undefined;
  if (!row) throw new CloudError('notFound', { what: 'Aggregate', id });
  return row;
}

export async function shownAggregate(db: Queries, row: AggregateRow, version: number) {
  return aggregateView(row, (await hostsByAggregate(db, row.id)).get(row.id), version);
}

async function unlessTaken<Result>({ db }: ApiDeps, name: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!db.isUniqueViolation(error)) throw error;
    throw new CloudError('conflict', { reason: `Aggregate ${name} already exists.` });
  }
}
