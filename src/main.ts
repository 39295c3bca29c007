/**
 * The composition root: configuration → log → database → bus → services → listener. No logic of its own.
 */
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import type { Transport } from '#bus/transport.ts';
import { type Config, parseListen } from '#config/config.ts';
import { writeCredentials } from '#config/credentials.ts';
import { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { lockFile, openSqlite } from '#db/sqlite.ts';
import { CloudError } from '#domain/errors.ts';
import { ImageClient } from '#http/image-client.ts';
import { httpServer, mount } from '#http/server.ts';
import type { JournalStore } from '#journal/store.ts';
import { type Logs, logHop, openLogs } from '#observe/log.ts';
import { DEFAULT_QUOTA } from '#services/api/api-deps.ts';
import { computeService } from '#services/api/compute-service.ts';
import { ensureDefaultFlavors } from '#services/api/default-flavors.ts';
import { ComputeAgent } from '#services/compute/agent.ts';
import { Backups } from '#services/compute/backups.ts';
import type { Driver } from '#services/compute/driver/driver.ts';
import { fakeDriver } from '#services/compute/driver/fake/fake-driver.ts';
import { qemuDriver } from '#services/compute/driver/qemu/qemu-driver.ts';
import { ImageCache } from '#services/compute/image-cache.ts';
import { qemuUser } from '#services/compute/qemu-user.ts';
import { Conductor, type ConductorOptions } from '#services/conductor/conductor.ts';
import { OutboxRelay } from '#services/conductor/outbox-relay.ts';
import { Retention } from '#services/conductor/retention.ts';
import { authenticator } from '#services/identity/authenticator.ts';
import { bootstrap } from '#services/identity/bootstrap.ts';
import { identityDeps } from '#services/identity/identity-deps.ts';
import { identityService } from '#services/identity/identity-service.ts';
import { keepRotatingKeys } from '#services/identity/key-rotation.ts';
import { serviceTokens } from '#services/identity/service-token.ts';
import { imageService, recoverImages } from '#services/image/image-service.ts';
import { Scheduler } from '#services/scheduler/scheduler.ts';

/** What tests replace. */
export interface Overrides {
  readonly journal?: (store: Database) => JournalStore;
  readonly conductor?: Pick<ConductorOptions, 'operations' | 'backOff' | 'leaseMs'>;
  readonly transport?: Transport;
  readonly driver?: (options: { readonly host: string; readonly instancesDir: string }) => Driver;
}

export interface Cloud {
  /** `http://host:port` */
  readonly url: string;
  readonly accelerator: string;
  readonly db: Database;
  /** Ends everything; guests run on unless told otherwise. */
  close(options: { readonly stopGuests: boolean }): Promise<void>;
}

/** Starts the whole cloud in this process. Throws when another process has the data folder. */
export async function startCloud(config: Config, overrides: Overrides = {}): Promise<Cloud> {
  const dir = (name: string) => join(config.data, name);
  const listen = parseListen(config.listen);
  mkdirSync(config.data, { recursive: true, mode: 0o700 });
  const lock = lockFile(dir('lock.sqlite'));
  if (!lock)
    throw new CloudError('conflict', {
      reason: `Another micronova serves ${config.data}; stop it or choose another folder.`,
    });
  const logs = openLogs({ level: config.log_level, to: config.log_to === 'stderr' ? 'stderr' : { dir: dir('logs') } });
  const db = await openSqlite(dir('micronova.sqlite'));
  const transport =
    overrides.transport ??
    memoryTransport({}, (topic, err) => logs.of('micronova').error({ topic, err }, 'message given up'));
  const rpc = new Rpc({ transport, log: logs.of('micronova') });

  const identity = identityDeps({
    database: db,
    clock: Date.now,
    log: logs.of('keystone'),
    tokenLifetimeMs: config.token_hours * 3_600_000,
  });
  const { passwords } = await bootstrap(identity, {
    // The address is a guess until the server listens.
    keep: (generated) => writeCredentials(config.data, `http://${config.listen}`, generated),
  });
  await ensureDefaultFlavors(db, Date.now());
  const authenticate = authenticator(identity);

  const options = { authenticate, log: logs.of('micronova') };
  const server = httpServer(options);
  let url = '';
  const token = serviceTokens(identity);
  const imagesFor = (name: string) => new ImageClient({ url: () => `${url}/image`, token, name });
  const relay = new OutboxRelay({ db, conductor: rpc.client(conductorContract, 'nova-api'), log: logs.of('nova-api') });
  const imageDeps = {
    database: db,
    storeDir: dir('images'),
    log: logs.of('glance-api'),
    clock: Date.now,
    maxImageBytes: config.max_image_gib * 2 ** 30,
  };
  await recoverImages(imageDeps);
  mount(server, identityService(identity), options);
  mount(server, imageService(imageDeps), options);
  mount(
    server,
    computeService({
      db,
      rpc,
      images: imagesFor('nova-api'),
      conductor: rpc.client(conductorContract, 'nova-api'),
      quota: {
        ...DEFAULT_QUOTA,
        instances: config.quota_instances,
        cores: config.quota_cores,
        ramMib: config.quota_ram_mib,
        keyPairs: config.quota_key_pairs,
      },
      announce: (messages) => relay.announce(messages),
      now: Date.now,
      log: logs.of('nova-api'),
    }),
    options,
  );
  url = new URL(await server.listen(listen)).origin;
  writeCredentials(config.data, url, passwords);

  const retention = new Retention({ db, log: logs.of('nova-conductor'), keepDays: config.keep_deleted_days });
  const scheduler = new Scheduler({ db, rpc, log: logs.of('nova-scheduler') });
  await scheduler.start();
  const conductor = new Conductor({
    db,
    rpc,
    images: imagesFor('nova-conductor'),
    log: logs.of('nova-conductor'),
    ...(overrides.journal && { store: overrides.journal(db) }),
    ...overrides.conductor,
  });
  // The agents register with the conductor, and its first look at the journal needs the agents.
  const agents = hostNames(config).map((host) => agent(host, config, overrides, rpc, imagesFor('nova-compute'), logs));
  await conductor.start({ alone: true });
  await Promise.all(agents.map(({ agent }) => agent.start()));
  await conductor.resume();
  relay.start();
  retention.start();
  const stopRotating = keepRotatingKeys(identity);
  const accelerator = (await agents[0]?.driver.capabilities())?.accelerator ?? 'none';

  return {
    url,
    accelerator,
    db,
    async close({ stopGuests }) {
      await server.close();
      await relay.close();
      await retention.close();
      stopRotating();
      await conductor.close();
      await rpc.close();
      await Promise.all(agents.map(({ agent }) => agent.close({ stopGuests })));
      await transport.close();
      await db.close();
      logs.flush();
      lock.release();
    },
  };
}

function hostNames(config: Config): string[] {
  const name = config.host_name || hostname();
  return config.hosts === 1 ? [name] : Array.from({ length: config.hosts }, (_, index) => `${name}-${index + 1}`);
}

function agent(host: string, config: Config, overrides: Overrides, rpc: Rpc, images: ImageClient, logs: Logs) {
  const log = logs.of('nova-compute');
  const isAlone = config.hosts === 1;
  const home = isAlone ? config.data : join(config.data, 'hosts', host);
  const instancesDir = join(home, 'instances');
  const linkDir = isAlone ? null : join(config.data, 'instances');
  for (const each of [instancesDir, linkDir ?? instancesDir]) mkdirSync(each, { recursive: true, mode: 0o700 });
  const observe = (instanceId: string, command: string, ms: number, error?: string) =>
    logHop(log.child({ instance_id: instanceId }), {
      from: 'nova-compute',
      to: 'qemu',
      what: command,
      ms,
      ...(error !== undefined && { error }),
    });
  const driver =
    overrides.driver?.({ host, instancesDir }) ??
    (config.driver === 'fake'
      ? fakeDriver({ instancesDir })
      : qemuDriver({
          instancesDir,
          observe,
          log,
          accelerator: config.accelerator,
          user: qemuUser(config.qemu_user, { data: config.data, instancesDir, log }),
        }));
  const store = join(config.data, 'images');
  const cache = new ImageCache({ dir: join(home, 'image-cache'), images, sharedStore: store });
  const backups = new Backups({ dir: join(store, 'staging'), isStaging: true, driver, images });
  return {
    driver,
    agent: new ComputeAgent({
      host,
      availabilityZone: config.availability_zone,
      driver,
      rpc,
      cache,
      backups,
      instancesDir,
      linkDir,
      log,
    }),
  };
}
