/**
 * The composition root: configuration → log → bus → record → roles → listener. No logic of its own. `up` has all roles in
 * one process, `serve` some of them; what each needs of its process is the same.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openBus } from '#bus/open.ts';
import { Rpc } from '#bus/rpc.ts';
import type { Transport } from '#bus/transport.ts';
import { type Config, ConfigError, parseListen } from '#config/config.ts';
import { writeCredentials } from '#config/credentials.ts';
import { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { openDatabase } from '#db/open.ts';
import { lockFile } from '#db/sqlite.ts';
import { CloudError } from '#domain/errors.ts';
import { ImageClient } from '#http/image-client.ts';
import { trustAuthority } from '#http/trust.ts';
import type { JournalStore } from '#journal/store.ts';
import { openLogs } from '#observe/log.ts';
import { openDriverConsole } from '#services/compute/driver-consoles.ts';
import { remoteImageAccess } from '#services/compute/image-access.ts';
import { openRemoteConsole } from '#services/compute/remote-consoles.ts';
import type { ConsoleStreams } from '#services/consoles/console-streams.ts';
import { openHealth } from '#services/health/process-health.ts';
import { Heartbeat } from '#services/heartbeat/heartbeat.ts';
import { bootstrap } from '#services/identity/bootstrap.ts';
import { identityDeps } from '#services/identity/identity-deps.ts';
import { keepRotatingKeys } from '#services/identity/key-rotation.ts';
import { serviceTokens } from '#services/identity/service-token.ts';
import { type ApiRole, startApi } from './roles/api.ts';
import { computeHosts, type Host, type MakeDriver, machineName } from './roles/compute.ts';
import { type ConductorOverrides, type ConductorRole, startConductor, startScheduler } from './roles/control.ts';
import { localImages } from './roles/image-store.ts';
import { busReady, nothingReady, recordReady, rolesReady } from './roles/ready-parts.ts';
import { type Base, ROLES, type Role, type WithRecord } from './roles/role.ts';

/** What tests replace. */
export interface Overrides {
  readonly journal?: (store: Database) => JournalStore;
  readonly conductor?: ConductorOverrides;
  readonly transport?: Transport;
  readonly driver?: MakeDriver;
  /** How long requests in hand are waited for at the end. */
  readonly farewellMs?: number;
}

/** One process of the cloud. */
export interface Process {
  /** `http://host:port`; null where no role answers HTTP. */
  readonly url: string | null;
  /** Of `/readyz` and `/metrics`; null where nothing is set. */
  readonly healthUrl: string | null;
  readonly accelerator: string;
  readonly db: Database | null;
  /** Says that it is not ready, drains, and ends everything; guests run on unless told otherwise. */
  close(options: { readonly stopGuests: boolean }): Promise<void>;
}

/** A whole cloud in one process. */
export interface Cloud extends Process {
  readonly url: string;
  readonly db: Database;
}

/** Starts the whole cloud in this process. Throws when another process has the data folder. */
export async function startCloud(config: Config, overrides: Overrides = {}, signal?: AbortSignal): Promise<Cloud> {
  const process = await startProcess(config, ROLES, overrides, signal);
  const { url, db } = process;
  if (url === null || db === null) throw new Error('a role is missing');
  return { ...process, url, db };
}

/**
 * Starts some roles of the cloud. Waits for a broker or a database that is away until the signal, whose reason is thrown
 * then. Throws `ConfigError` where the roles need something that is not configured.
 */
export async function startProcess(
  config: Config,
  roles: readonly Role[],
  overrides: Overrides = {},
  signal?: AbortSignal,
): Promise<Process> {
  const has = new Set(roles);
  checkConfig(config, has);
  const cleanUp = new AsyncDisposableStack();
  try {
    if (config.api_ca) trust(config.api_ca);
    mkdirSync(config.data, { recursive: true, mode: 0o700 });
    const lock = lockFile(join(config.data, 'lock.sqlite'));
    if (!lock) {
      const reason = `Another micronova serves ${config.data}; stop it or choose another folder.`;
      throw new CloudError('conflict', { reason });
    }
    cleanUp.defer(() => lock.release());
    const logs = openLogs({
      level: config.log_level,
      to: config.log_to === 'stderr' ? 'stderr' : { dir: join(config.data, 'logs') },
    });
    cleanUp.defer(() => logs.flush());
    const log = logs.of('micronova');
    const needsRecord = roles.some((role) => role !== 'compute');
    const readiness = nothingReady({ record: needsRecord });
    const health = cleanUp.use(await openHealth({ ...healthOptions(config), readiness, log }));
    const { telemetry } = health;
    const { meter } = telemetry;
    const transport = overrides.transport ?? (await openBus({ ...busOptions(config), log, meter, signal }));
    cleanUp.defer(() => transport.close());
    busReady(readiness, transport);
    const rpc = new Rpc({ transport, log, telemetry });
    const base: Base = { config, logs, rpc, telemetry, readiness };
    const record = needsRecord ? await openRecord(base) : null;
    if (record) {
      recordReady(readiness, record.db);
      cleanUp.defer(() => record.db.close());
      cleanUp.defer(keepRotatingKeys(record.identity));
    }
    const started: Started = { api: null, conductor: null, hosts: [] };
    await startRoles(started, base, record, has, overrides, signal).catch(async (error: unknown) => {
      await endRoles(started, rpc, { stopGuests: false });
      throw error;
    });
    if (record && (has.has('conductor') || has.has('scheduler'))) {
      const heartbeat = heartbeatOf(record, has);
      await heartbeat.start();
      cleanUp.defer(() => heartbeat.close());
    }
    rolesReady(readiness);
    return {
      healthUrl: health.url,
      url: started.api?.url ?? null,
      accelerator: (await started.hosts[0]?.driver.capabilities())?.accelerator ?? 'none',
      db: record?.db ?? null,
      async close({ stopGuests }) {
        readiness.drain();
        if (started.api) {
          started.api.retire();
          await delay(config.drain_seconds * 1000);
        }
        await endRoles(started, rpc, { stopGuests });
        await cleanUp.disposeAsync();
      },
    };
  } catch (error) {
    await cleanUp.disposeAsync();
    throw error;
  }
}

/** As far as it has come. */
interface Started {
  api: ApiRole | null;
  conductor: ConductorRole | null;
  hosts: readonly Host[];
}

/**
 * What goes on ends where it is, then nothing new comes in, then the ways to the others close. Work that went on while the last
 * requests are answered would find no image service any more, and be taken back for that.
 */
async function endRoles(
  { api, conductor, hosts }: Started,
  rpc: Rpc,
  options: { readonly stopGuests: boolean },
): Promise<void> {
  await conductor?.close();
  await api?.close();
  await rpc.close();
  await Promise.all(hosts.map(({ agent }) => agent.close(options)));
}

async function startRoles(
  started: Started,
  base: Base,
  record: WithRecord | null,
  roles: ReadonlySet<Role>,
  overrides: Overrides,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { config, rpc, telemetry } = base;
  const { tracer } = telemetry;
  const token = record && serviceTokens(record.identity);
  const url = () => config.image_url || `${started.api?.url}/image`;
  const access = token ? { url, token } : remoteImageAccess(rpc.client(conductorContract, 'nova-compute'));
  const imagesFor = (name: string) => new ImageClient({ name, tracer, ...access });
  const local = localImages(config, roles.has('api'));
  started.hosts = roles.has('compute')
    ? await computeHosts(base, { images: imagesFor('nova-compute'), local, makeDriver: overrides.driver })
    : [];
  if (record && roles.has('api')) {
    const { passwords } = await bootstrap(record.identity, {
      // The address is a guess until the server listens.
      keep: (generated) => writeCredentials(config.data, { url: `http://${config.listen}` }, generated),
    });
    started.api = await startApi(record, {
      images: imagesFor('nova-api'),
      streams: streamsOf(rpc, started.hosts),
      farewellMs: overrides.farewellMs,
    });
    writeCredentials(config.data, { url: started.api.url, ca: config.api_ca }, passwords);
  }
  if (record && roles.has('scheduler')) await startScheduler(record);
  // The agents register with the conductor, and its first look at the journal needs the agents.
  started.conductor =
    record && token && roles.has('conductor')
      ? await startConductor(record, {
          images: imagesFor('nova-conductor'),
          imageAccess: async () => ({ url: url(), token: await token() }),
          // Others need a bus that they reach. Were there one after all, the fences of the leases keep the two apart.
          alone: config.bus === '',
          journal: overrides.journal?.(record.db),
          overrides: overrides.conductor,
        })
      : null;
  await Promise.all(started.hosts.map(({ agent }) => agent.start(signal)));
  await started.conductor?.resume();
}

/** The record, and what identity needs of it; nothing of it is read yet. */
async function openRecord({ config, logs, ...base }: Base): Promise<WithRecord> {
  const { meter } = base.telemetry;
  const db = await openDatabase(
    { url: config.database, file: join(config.data, 'micronova.sqlite') },
    {
      log: logs.of('micronova'),
      waitMs: config.database_wait_seconds * 1000,
      connections: config.database_connections,
      meter,
    },
  );
  const identity = identityDeps({
    database: db,
    clock: Date.now,
    log: logs.of('keystone'),
    tokenLifetimeMs: config.token_hours * 3_600_000,
  });
  return { ...base, config, logs, db, identity };
}

/** Compute hosts tell the conductor that they live; conductor and scheduler write it down. */
function heartbeatOf({ config, db, logs }: WithRecord, roles: ReadonlySet<Role>): Heartbeat {
  return new Heartbeat({
    db,
    log: logs.of('micronova'),
    host: machineName(config),
    roles: [
      ...(roles.has('conductor') ? (['nova-conductor'] as const) : []),
      ...(roles.has('scheduler') ? (['nova-scheduler'] as const) : []),
    ],
  });
}

/** Roles that are not all in one process need a record and a bus that others reach, and where the images are. */
function checkConfig(config: Config, roles: ReadonlySet<Role>): void {
  if (ROLES.every((role) => roles.has(role))) return;
  const has = [...roles].join(', ');
  if (config.bus === '') throw new ConfigError(`bus: the roles ${has} alone need a broker that the others reach too`);
  if (config.database === '' && [...roles].some((role) => role !== 'compute'))
    throw new ConfigError(`database: the roles ${has} alone need a PostgreSQL that the others reach too`);
  if (config.image_url === '' && roles.has('conductor') && !roles.has('api'))
    throw new ConfigError('image_url: a conductor without an api has to say where the images are');
}

function healthOptions(config: Config) {
  return {
    listen: config.health_listen === '' ? null : parseListen(config.health_listen, 'health_listen'),
    otlpEndpoint: config.otlp_endpoint,
    host: machineName(config),
  };
}

/** Throws `ConfigError` for a file that cannot be read, or is no certificate. */
function trust(path: string): void {
  try {
    trustAuthority(path);
  } catch (error) {
    throw new ConfigError(`api_ca (${path}): ${(error as Error).message}`);
  }
}

function busOptions(config: Config) {
  return {
    url: config.bus,
    queues: config.bus_queues,
    ca: config.bus_ca,
    cert: config.bus_cert,
    key: config.bus_key,
    name: `micronova ${machineName(config)}`,
  };
}

/** Of the hosts in this process straight from their drivers, of others by their agents. */
function streamsOf(rpc: Rpc, hosts: readonly Host[]): ConsoleStreams {
  const drivers = new Map(hosts.map(({ name, driver }) => [name, driver]));
  return {
    open: (host, ...asked) =>
      drivers.has(host) ? openDriverConsole(drivers, host, ...asked) : openRemoteConsole(rpc, host, ...asked),
  };
}
