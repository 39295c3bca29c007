/** Valid requests for what operators do with hosts. The host on which everything is stays in service. */
import { randomUUID } from 'node:crypto';
import type { Prng } from './prng.ts';
import type { Recipe } from './recipes.ts';
import type { World } from './world.ts';

const V = '/compute/v2.1';
const COMPUTE = 'nova-compute';

/** Of `uuid/number`, what the microversion calls it. */
const idAt = (version: number, ids: string) => ids.split('/')[version >= 53 ? 0 : 1] ?? '';
const spare = (world: World, random: Prng) => ({ host: random.pick(world.spareHostNames), binary: COMPUTE });
const ofServer: Recipe = (world, random) => {
  const [id = '', migrationId = ''] = world.some('liveMigration', random).split('/');
  return { params: { id, migrationId } };
};
const aggregate: Recipe = (world, random) => ({ params: { id: world.some('aggregate', random) } });
const hypervisor: Recipe = (world, _, version) => ({ params: { id: idAt(version, world.hypervisor) } });
const named: Recipe = () => ({ params: { id: 'spare' } });
const host: Recipe = (world, random) => ({ params: { name: random.pick(world.spareHostNames) } });

export const HOST_RECIPES: Readonly<Record<string, Recipe>> = {
  [`PUT ${V}/os-services/enable`]: (world, random) => ({ body: spare(world, random) }),
  [`PUT ${V}/os-services/disable`]: (world, random) => ({ body: spare(world, random) }),
  [`PUT ${V}/os-services/disable-log-reason`]: (world, random) => ({
    body: { ...spare(world, random), disabled_reason: 'fuzz' },
  }),
  [`PUT ${V}/os-services/force-down`]: (world, random) => ({
    body: { ...spare(world, random), forced_down: random.pick([true, 'False', 0]) },
  }),
  [`PUT ${V}/os-services/:id`]: (world, random, version) => ({
    params: { id: idAt(version, random.pick(world.spareHosts)) },
    body: random.pick([{ status: 'enabled' }, { status: 'disabled', disabled_reason: 'fuzz' }, { forced_down: true }]),
  }),
  [`DELETE ${V}/os-services/:id`]: (world, random, version) => ({
    params: { id: idAt(version, world.take('goneService', random)) },
  }),
  [`GET ${V}/os-hypervisors/:id`]: hypervisor,
  [`GET ${V}/os-hypervisors/:id/uptime`]: hypervisor,
  [`GET ${V}/os-hypervisors/:id/search`]: named,
  [`GET ${V}/os-hypervisors/:id/servers`]: named,
  [`POST ${V}/os-aggregates`]: () => ({ body: { aggregate: { name: `fuzz-${randomUUID()}` } } }),
  [`GET ${V}/os-aggregates/:id`]: aggregate,
  [`PUT ${V}/os-aggregates/:id`]: (...asked) => ({
    ...aggregate(...asked),
    body: { aggregate: { name: `fuzz-${randomUUID()}` } },
  }),
  [`DELETE ${V}/os-aggregates/:id`]: (world, random) => ({ params: { id: world.take('aggregate', random) } }),
  [`POST ${V}/os-aggregates/:id/action`]: (world, random, version) => ({
    ...aggregate(world, random, version),
    body: random.pick([
      { set_metadata: { metadata: { ssd: 'true', hdd: null } } },
      { add_host: { host: random.pick(world.spareHostNames) } },
      { remove_host: { host: random.pick(world.spareHostNames) } },
    ]),
  }),
  [`POST ${V}/os-aggregates/:id/images`]: (world, random, version) => ({
    ...aggregate(world, random, version),
    body: { cache: [{ id: world.bootImage }] },
  }),
  [`GET ${V}/servers/:id/migrations/:migrationId`]: ofServer,
  [`DELETE ${V}/servers/:id/migrations/:migrationId`]: ofServer,
  [`POST ${V}/servers/:id/migrations/:migrationId/action`]: (...asked) => ({
    ...ofServer(...asked),
    body: { force_complete: null },
  }),
  [`GET ${V}/os-hosts/:name`]: host,
  [`PUT ${V}/os-hosts/:name`]: (...asked) => ({ ...host(...asked), body: { status: 'disable' } }),
  [`GET ${V}/os-hosts/:name/startup`]: host,
  [`GET ${V}/os-hosts/:name/shutdown`]: host,
  [`GET ${V}/os-hosts/:name/reboot`]: host,
  [`POST ${V}/os-server-external-events`]: (world, random) => ({
    body: { events: [{ name: 'network-changed', server_uuid: random.pick(world.steadyServers) }] },
  }),
};
