/** What is done with the hosts and the metadata of an aggregate; one key of the body says what. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { addToAggregate, changeAggregate, hostsByAggregate, removeFromAggregate } from '#db/repo/aggregates.ts';
import { findHost } from '#db/repo/hosts.ts';
import type { AggregateRow } from '#db/tables/operating.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { knownAggregate, PATH, shownAggregate } from './routes.ts';
import { metadataOf } from './view.ts';
import { changeZones } from './zones.ts';

const strict = { additionalProperties: false };
const OneHost = Type.Object({ host: Type.String({ minLength: 1, maxLength: 255 }) }, strict);
const Changes = Type.Object(
  {
    metadata: Type.Record(
      Type.String({ pattern: '^[a-zA-Z0-9-_:. ]{1,255}$' }),
      Type.Union([Type.String({ maxLength: 255 }), Type.Null()]),
      strict,
    ),
  },
  strict,
);

const ACTION = Type.Union([
  Type.Object({ add_host: OneHost }, strict),
  Type.Object({ remove_host: OneHost }, strict),
  Type.Object({ set_metadata: Changes }, strict),
]);

export function aggregateActionRoutes({ db, now }: ApiDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: `${PATH}/:id/action`,
      doc: 'Changes hosts or metadata of an aggregate: add_host, remove_host, set_metadata. A host in use keeps its zone.',
      access: { rule: 'os_compute_api:os-aggregates:add_host', role: 'admin' },
      body: ACTION,
      success: 200,
      handle: async ({ params, body, version }) => {
        const id = params.id ?? '';
        const work = async (trx: Queries) => {
          const row = await knownAggregate(trx, id);
          if ('add_host' in body) await addHost(trx, row, body.add_host.host);
          else if ('remove_host' in body) await removeHost(trx, row, body.remove_host.host);
          else await setMetadata(trx, row, body.set_metadata.metadata, now());
          return knownAggregate(trx, id);
        };
        return { body: { aggregate: await shownAggregate(db.queries, await db.transaction(work), version) } };
      },
    }),
  ];
}

async function addHost(trx: Queries, { id }: AggregateRow, host: string): Promise<void> {
  if (!(await findHost(trx, host)))
    throw new CloudError('notThere', { reason: `Compute host ${host} could not be found.` });
  if ((await hostsByAggregate(trx, id)).get(id)?.includes(host))
    throw new CloudError('conflict', { reason: `Aggregate ${id} already has host ${host}.` });
  const text = (reason: string) => `Cannot add host to aggregate ${id}. Reason: ${reason}`;
  await changeZones(trx, [host], { code: 'conflict', text }, () => addToAggregate(trx, id, host));
}

async function removeHost(trx: Queries, { id }: AggregateRow, host: string): Promise<void> {
  const text = (reason: string) => `Cannot remove host ${host} in aggregate ${id}. Reason: ${reason}`;
  const was = await changeZones(trx, [host], { code: 'conflict', text }, () => removeFromAggregate(trx, id, host));
  if (!was) throw new CloudError('notThere', { reason: `Cannot remove host ${host} in aggregate ${id}` });
}

/** A null takes a key away. */
async function setMetadata(
  trx: Queries,
  row: AggregateRow,
  changes: Readonly<Record<string, string | null>>,
  now: number,
): Promise<void> {
  const entries = Object.entries({ ...metadataOf(row), ...changes });
  const metadata = Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null));
  const hosts = (await hostsByAggregate(trx, row.id)).get(row.id) ?? [];
  const text = (reason: string) => `Cannot update metadata of aggregate ${row.id}. Reason: ${reason}`;
  await changeZones(trx, hosts, { code: 'badRequest', text }, () => changeAggregate(trx, row.id, { metadata }, now));
}
