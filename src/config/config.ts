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
    listen: text('Address and port of the API; port 0 takes a free one.', '127.0.0.1:8774'),
    driver: choice('What runs the guests.', ['qemu', 'fake']),
    hosts: number('Compute hosts in this process; more than one only to simulate.', 1, 1),
    host_name: text('Name of the compute host; the machine’s where empty.', ''),
    availability_zone: text('Zone of the compute hosts.', 'nova'),
    accelerator: choice('How QEMU runs guests: auto takes KVM where it really works.', ['auto', 'kvm', 'tcg']),
    qemu_user: text(
      'Whom QEMU runs as when this runs as root; as root too where there is no such user.',
      'micronova-qemu',
    ),
    log_level: choice('Least severe log lines that are written.', ['info', 'debug', 'warn', 'error', 'silent']),
    log_to: choice('One file per service below the data folder, or one stream.', ['files', 'stderr']),
    token_hours: number('How long a token is good for.', 4, 1),
    max_image_gib: number('Largest image in the store.', 1024, 1),
    keep_deleted_days: number('How long deleted servers and their operations stay in the record.', 30, 1),
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
  return values;
}

/** `127.0.0.1:8774` as host and port. An IPv6 address is in brackets. */
export function parseListen(listen: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw new ConfigError(`listen: '${listen}' is not HOST:PORT`);
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}
