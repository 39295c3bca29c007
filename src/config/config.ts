/**
 * The configuration: one schema, whose defaults are the embedded cloud of one process.
 *
 * A value comes from a flag, else from the environment (`MICRONOVA_<KEY>`, dots as underscores), else from a TOML file,
 * else it is the default.
 */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'smol-toml';
import { type Static, Type } from 'typebox';
import { problemsOf } from '#schema/check.ts';

const text = (description: string, fallback: string) => Type.String({ description, default: fallback });
const number = (description: string, fallback: number, minimum = 0) =>
  Type.Integer({ description, default: fallback, minimum });
const choice = <const Values extends readonly string[]>(description: string, values: Values) =>
  Type.Unsafe<Values[number]>({ enum: values, description, default: values[0] });

export const ConfigSchema = Type.Object(
  {
    data: text('Folder of everything the cloud keeps.', './data'),
    database: Type.String({
      description:
        'Where the record is: `postgres://user:password@host/name` (TLS by `?sslmode=verify-full&sslrootcert=/ca.pem`); in the data folder where empty.',
      default: '',
      pattern: '^(postgres(ql)?://.*)?$',
    }),
    database_connections: number('Connections to PostgreSQL at once.', 10, 2),
    database_wait_seconds: number('How long the start waits for a PostgreSQL that does not answer.', 60),
    listen: text('Address and port of the API; port 0 takes a free one.', '127.0.0.1:8774'),
    tls_cert: text(
      'PEM file of the certificate that the API shows, and those between it and the authority; HTTP where empty.',
      '',
    ),
    tls_key: text('PEM file of the key of that certificate.', ''),
    api_ca: text(
      'PEM file of the authority that signed the certificate of the API; the machine’s own where empty. Clients are told of it.',
      '',
    ),
    image_url: text(
      'Address of the image service, as other processes and hosts reach it; where the roles are together, their own.',
      '',
    ),
    image_store: text(
      'Where the images are: a folder, or s3://bucket/prefix; `images` below the data folder where empty. On a host: where it sees that folder, if it does.',
      '',
    ),
    s3_endpoint: text(
      'Address of the S3-compatible store of the images: https://host:port; Amazon’s of the region where empty. From `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` too.',
      '',
    ),
    s3_region: text('Region of that store; from `AWS_REGION` too.', 'us-east-1'),
    s3_access_key: text('Names who uses that store; from `AWS_ACCESS_KEY_ID` too.', ''),
    s3_secret_key: text('Secret of that name; from `AWS_SECRET_ACCESS_KEY` too.', ''),
    s3_session_token: text('Of temporary keys; from `AWS_SESSION_TOKEN` too.', ''),
    driver: choice('What runs the guests.', ['qemu', 'fake']),
    hosts: number('Compute hosts in this process; more than one only to simulate.', 1, 1),
    host_name: text('Name of the compute host; the machine’s where empty.', ''),
    disks_dir: text(
      'Folder of the guests’ disks, for instance on NFS: between hosts that see the same one, guests move without a copy, and are evacuated with their disks. With the guests’ other files where empty.',
      '',
    ),
    agent_listen: text(
      'Address, and port or 0, at which other compute hosts fetch guests that move; they must reach it.',
      '127.0.0.1:0',
    ),
    move_bandwidth_mib: number(
      'MiB per second that the disk, and that the memory, of a guest that moves may take of the network; 0 is no limit.',
      0,
    ),
    availability_zone: text('Zone of the compute hosts.', 'nova'),
    network: choice(
      'How a host runs the networks of its guests. auto: rooted for root, rootless for others; where that does not work each guest is alone (none), and `micronova doctor` says why.',
      ['auto', 'rooted', 'rootless', 'none'],
    ),
    network_address: text(
      'Address of this host at which the tunnels (VXLAN, UDP port 4789) of other hosts end; that of `agent_listen` where empty. No tunnels where that is the machine’s own loopback.',
      '',
    ),
    public_cidr: text(
      'Range of the external network that a new cloud gets, for routers and floating IPs; none is made where empty.',
      '172.24.4.0/24',
    ),
    accelerator: choice('How QEMU runs guests: auto takes KVM where it really works.', ['auto', 'kvm', 'tcg']),
    qemu_user: text(
      'Whom QEMU runs as when this runs as root; as root too where there is no such user.',
      'micronova-qemu',
    ),
    health_listen: text(
      'Address and port of `/livez`, `/readyz` and `/metrics`, in a process of any role; nothing listens where empty. Not for tenants: no token is asked for.',
      '',
    ),
    drain_seconds: number(
      'How long an api that is told to end says that it is not ready, and still answers, before it closes.',
      0,
    ),
    otlp_endpoint: text(
      'OpenTelemetry collector that takes spans over HTTP: http://host:4318; from `OTEL_EXPORTER_OTLP_ENDPOINT` too; none where empty.',
      '',
    ),
    log_level: choice('Least severe log lines that are written.', ['info', 'debug', 'warn', 'error', 'silent']),
    log_to: choice('One file per service below the data folder, or one stream.', ['files', 'stderr']),
    bus: text('RabbitMQ’s address: amqp://user:password@host/vhost, or amqps://…; in process where empty.', ''),
    bus_queues: choice('Kind of RabbitMQ’s queues; quorum only for a cluster of three brokers or more.', [
      'classic',
      'quorum',
    ]),
    bus_ca: text('PEM file of the authority that signed the certificate of an amqps broker.', ''),
    bus_cert: text('PEM file of the certificate that is shown to an amqps broker.', ''),
    bus_key: text('PEM file of the key of that certificate.', ''),
    token_hours: number('How long a token is good for.', 4, 1),
    max_image_gib: number('Largest image in the store.', 1024, 1),
    keep_deleted_days: number('How long deleted servers and their operations stay in the record.', 30, 1),
    shutdown_seconds: number('How long a guest that is asked to power off may take before it is ended.', 60),
    shelved_offload_seconds: number('How long a shelved server keeps its host; 0 leaves at once, -1 never.', 0, -1),
    resize_on_same_host: choice('Whether a resize may leave a server on its host.', ['yes', 'no']),
    reclaim_seconds: number('How long a deleted server can be restored; 0 deletes at once.', 0),
    start_lost_guests: choice('Whether guests that ran when their host went down are started again.', ['no', 'yes']),
    console_token_seconds: number('How long a link to a console is good for.', 600, 1),
    quota_instances: number('Servers per project; -1 is no limit.', 10, -1),
    quota_cores: number('Virtual CPUs per project; -1 is no limit.', 20, -1),
    quota_ram_mib: number('Memory of all servers of a project; -1 is no limit.', 51_200, -1),
    quota_key_pairs: number('Key pairs per user; -1 is no limit.', 100, -1),
  },
  { additionalProperties: false },
);

export type Config = Static<typeof ConfigSchema>;

/** Thrown for a value that does not fit; the message names the key and the place it came from. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

type Values = Readonly<Record<string, unknown>>;

/** Puts the sources together. Throws `ConfigError`, never starts with half a configuration. */
export function loadConfig(sources: {
  readonly flags?: Values;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly file?: string;
}): Config {
  const layers: [string, Values][] = [
    ['default', defaults()],
    [sources.file ?? 'no file', sources.file === undefined ? {} : fromFile(sources.file)],
    ['environment', fromEnvironment(sources.env ?? {})],
    ['flag', sources.flags ?? {}],
  ];
  const merged: Record<string, unknown> = {};
  const origin = new Map<string, string>();
  for (const [name, values] of layers) {
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) continue;
      merged[key] = value;
      origin.set(key, name);
    }
  }
  const [problem] = problemsOf(ConfigSchema, merged);
  if (problem) {
    const unknownKey = problem.params.additionalProperty as string | undefined;
    const key = unknownKey ?? problem.instancePath.slice(1);
    throw new ConfigError(
      `${key} (${origin.get(key) ?? 'configuration'}): ${unknownKey ? 'no such setting' : problem.message}`,
    );
  }
  const config = merged as Config;
  return { ...config, data: resolve(config.data) };
}

function defaults(): Values {
  return Object.fromEntries(
    Object.entries(ConfigSchema.properties).map(([key, schema]) => [key, (schema as { default?: unknown }).default]),
  );
}

function fromFile(path: string): Values {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigError(`${path}: ${(error as Error).message}`);
  }
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Values {
  const values: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(ConfigSchema.properties)) {
    const given = env[`MICRONOVA_${key.toUpperCase()}`];
    if (given === undefined) continue;
    values[key] = (schema as { type?: string }).type === 'integer' && /^-?\d+$/.test(given) ? Number(given) : given;
  }
  // Names that other programs know.
  values.otlp_endpoint ??= env.OTEL_EXPORTER_OTLP_ENDPOINT;
  values.s3_endpoint ??= env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL;
  values.s3_region ??= env.AWS_REGION ?? env.AWS_DEFAULT_REGION;
  values.s3_access_key ??= env.AWS_ACCESS_KEY_ID;
  values.s3_secret_key ??= env.AWS_SECRET_ACCESS_KEY;
  values.s3_session_token ??= env.AWS_SESSION_TOKEN;
  return values;
}

/** `127.0.0.1:8774` as host and port. An IPv6 address is in brackets. Throws `ConfigError` with the setting's key. */
export function parseListen(listen: string, key = 'listen'): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw new ConfigError(`${key}: '${listen}' is not HOST:PORT`);
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}
