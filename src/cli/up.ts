/** `micronova up`: the whole cloud in this process. */
import { loadConfig } from '#config/config.ts';
import { startCloud } from '../main.ts';

export interface UpOptions {
  readonly data?: string;
  readonly listen?: string;
  readonly driver?: string;
  readonly hosts?: string;
  readonly config?: string;
  readonly stopGuests?: boolean;
}

/** Prints a line `ready URL …` once requests are answered; resolves after SIGTERM or SIGINT, when all is written. */
export async function up(options: UpOptions): Promise<void> {
  const config = loadConfig({
    flags: {
      data: options.data,
      listen: options.listen,
      driver: options.driver,
      ...(options.hosts !== undefined && { hosts: Number(options.hosts) }),
    },
    env: process.env,
    ...(options.config !== undefined && { file: options.config }),
  });
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  const cloud = await startCloud(config);
  process.stdout.write(
    `ready ${cloud.url} driver=${config.driver} accelerator=${cloud.accelerator} data=${config.data}\n`,
  );
  await ended;
  await cloud.close({ stopGuests: options.stopGuests ?? false });
}
