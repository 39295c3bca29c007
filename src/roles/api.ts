/** The role `api`: Keystone, Glance, Neutron and Nova's API with the consoles, on one port. */
import { readFileSync } from 'node:fs';
import { type Config, ConfigError, parseListen } from '#config/config.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { hostsOfNetworks } from '#db/repo/network/network-hosts.ts';
import { addHealthcheck } from '#http/healthcheck.ts';
import type { ImageClient } from '#http/image-client.ts';
import { httpServer, mount, type Tls } from '#http/server.ts';
import { DEFAULT_QUOTA } from '#services/api/api-deps.ts';
import { computeService } from '#services/api/compute-service.ts';
import { ensureDefaultFlavors } from '#services/api/default-flavors.ts';
import { hintHosts } from '#services/conductor/network-hints.ts';
import { OutboxRelay } from '#services/conductor/outbox-relay.ts';
import { consoleService } from '#services/consoles/console-service.ts';
import type { ConsoleStreams } from '#services/consoles/console-streams.ts';
import { authenticator } from '#services/identity/authenticator.ts';
import { identityService } from '#services/identity/identity-service.ts';
import { imageService, recoverImages } from '#services/image/image-service.ts';
import { ensureDefaultNetworks } from '#services/network/default-networks.ts';
import { networkService } from '#services/network/network-service.ts';
import { openImageStore } from './image-store.ts';
import { publicRange } from './public-range.ts';
import type { WithRecord } from './role.ts';

export interface ApiRole {
  /** `http://host:port`, or `https://…` */
  readonly url: string;
  /** From now on each answer is the last one on its connection: clients are to go elsewhere. */
  retire(): void;
  close(): Promise<void>;
}

/** What it needs besides. */
export interface ApiParts {
  readonly images: ImageClient;
  readonly streams: ConsoleStreams;
  readonly farewellMs: number | undefined;
}

/** Resolves when requests are answered. */
export async function startApi(
  { config, logs, rpc, db, identity, telemetry, readiness }: WithRecord,
  { images, streams, farewellMs }: ApiParts,
): Promise<ApiRole> {
  const options = { authenticate: authenticator(identity), log: logs.of('micronova'), telemetry };
  const server = httpServer({ ...options, tls: certificate(config), farewellMs });
  const { connections } = server;
  telemetry.meter.gauges(() => [
    { name: 'micronova_http_requests_in_flight', labels: {}, value: connections.inFlight },
  ]);
  const log = logs.of('nova-api');
  const conductor = rpc.client(conductorContract, 'nova-api');
  const relay = new OutboxRelay({ db, conductor, log });
  const store = openImageStore(config);
  const imageDeps = {
    database: db,
    store,
    log: logs.of('glance-api'),
    clock: Date.now,
    maxImageBytes: config.max_image_gib * 2 ** 30,
  };
  await recoverImages(imageDeps);
  await ensureDefaultFlavors(db, Date.now());
  /** Beside the answer: hosts ask by themselves in the end. */
  const networksChanged = (networkIds: readonly string[]) =>
    void hostsOfNetworks(db.queries, networkIds).then(
      (hosts) => hintHosts({ rpc, log }, 'neutron', hosts),
      (error: unknown) => log.warn({ err: error }, 'hosts were not told that networks changed'),
    );
  const networkDeps = { db, now: Date.now, changed: networksChanged, log: logs.of('neutron') };
  await ensureDefaultNetworks(networkDeps, publicRange(config));
  const compute = computeService({
    db,
    rpc,
    images,
    conductor,
    quota: {
      ...DEFAULT_QUOTA,
      instances: config.quota_instances,
      cores: config.quota_cores,
      ramMib: config.quota_ram_mib,
      keyPairs: config.quota_key_pairs,
    },
    lifecycle: {
      shutdownGraceMs: config.shutdown_seconds * 1000,
      resizesOnSameHost: config.resize_on_same_host === 'yes',
      offloadsAtOnce: config.shelved_offload_seconds === 0,
      deletesSoftly: config.reclaim_seconds > 0,
    },
    consoleTokenMs: config.console_token_seconds * 1000,
    announce: (messages) => relay.announce(messages),
    networksChanged,
    now: Date.now,
    log,
  });
  mount(server, identityService(identity), options);
  mount(server, imageService(imageDeps), options);
  mount(server, networkService(networkDeps), options);
  mount(server, compute, options);
  mount(server, consoleService(server, { db, streams, now: Date.now, log }), options);
  addHealthcheck(server, server.services, async () => {
    const { parts } = await readiness.look();
    return parts.filter(({ ready }) => !ready).map(({ part }) => part);
  });
  const url = new URL(await server.listen(parseListen(config.listen))).origin;
  relay.start();
  return {
    url,
    retire: () => connections.retire(),
    async close() {
      await server.close();
      await store.close();
      await relay.close();
    },
  };
}

/** None where none is configured. Throws `ConfigError` for half of one, and for a file that cannot be read. */
function certificate({ tls_cert: cert, tls_key: key }: Config): Tls | undefined {
  if (cert === '' && key === '') return undefined;
  if (cert === '' || key === '') throw new ConfigError('tls_cert and tls_key: the one is nothing without the other');
  return { cert: pem('tls_cert', cert), key: pem('tls_key', key) };
}

function pem(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ConfigError(`${setting}: ${(error as Error).message}`);
  }
}
