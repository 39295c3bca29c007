/** `micronova up`: the whole cloud in this process. `micronova serve`: some of its roles. */
import { ConfigError, loadConfig } from '#config/config.ts';
import { startProcess } from '../main.ts';
import { ROLES, type Role } from '../roles/role.ts';
import { notify } from './notify.ts';

export interface UpOptions {
  readonly data?: string;
  readonly listen?: string;
  readonly driver?: string;
  readonly hosts?: string;
  readonly database?: string;
  readonly bus?: string;
  readonly config?: string;
  readonly stopGuests?: boolean;
}

/** Prints a line `ready URL …` once requests are answered; resolves after SIGTERM or SIGINT, when all is written. */
export function up(options: UpOptions): Promise<void> {
  return run(options, ROLES);
}

/** The same for some roles; without an api the line is `ready ROLES …`. Throws `ConfigError` for an unknown role. */
export function serve(options: UpOptions & { readonly roles: string }): Promise<void> {
  const roles = options.roles.split(',').map((word) => {
    const role = ROLES.find((each) => each === word.trim());
    if (!role) throw new ConfigError(`roles: '${word}' is none of ${ROLES.join(', ')}`);
    return role;
  });
  return run(options, roles);
}

async function run(options: UpOptions, roles: readonly Role[]): Promise<void> {
  const config = loadConfig({
    flags: {
      data: options.data,
      listen: options.listen,
      driver: options.driver,
      database: options.database,
      bus: options.bus,
      ...(options.hosts !== undefined && { hosts: Number(options.hosts) }),
    },
    env: process.env,
    ...(options.config !== undefined && { file: options.config }),
  });
  const stop = new AbortController();
  const ended = new Promise<void>((resolve) => {
    stop.signal.addEventListener('abort', () => resolve());
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  // Who starts it sees why it does not go on; the address has a password in it.
  if (config.bus) process.stderr.write('waiting for RabbitMQ (see micronova.log if this takes long)\n');
  const cloud = await startProcess(config, roles, {}, stop.signal).catch((error: unknown) => {
    if (error === stop.signal.reason) return null;
    throw error;
  });
  if (!cloud) return;
  const what = cloud.url ?? roles.join(',');
  const health = cloud.healthUrl === null ? '' : ` health=${cloud.healthUrl}`;
  const words = `driver=${config.driver} accelerator=${cloud.accelerator} data=${config.data}${health}`;
  process.stdout.write(`ready ${what} ${words}\n`);
  await notify('--ready', `--status=${what}`);
  await ended;
  await notify('STOPPING=1');
  await cloud.close({ stopGuests: options.stopGuests ?? false });
}
