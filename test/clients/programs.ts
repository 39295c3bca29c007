/** The clients that people really use, unchanged, as Debian ships them; installed when they are not there. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TIMEOUT_MS = 60_000;

/** Debian's Python, whose packages the clients are; another one on the PATH does not know them. */
const PYTHON = '/usr/bin/python3';

/** Makes sure that `openstack` and what comes with it are there. Throws one clear line when they cannot be had. */
export function needClients(): void {
  if (spawnSync(PYTHON, ['-c', 'import openstackclient, openstack, novaclient, glanceclient']).status === 0) return;
  const setup = spawnSync(join(import.meta.dirname, '../../tools/setup.sh'), ['--also', 'python3-openstackclient'], {
    encoding: 'utf8',
  });
  if (setup.status !== 0)
    throw new Error(
      `python3-openstackclient is not there and cannot be installed: ${setup.stderr.trim().split('\n').at(-1)}`,
    );
}

/** A data folder's cloud, as its clients are told of it. */
export class Programs {
  readonly #env: NodeJS.ProcessEnv;

  constructor(dataDir: string, cloud: 'micronova' | 'micronova-admin') {
    this.#env = {
      PATH: process.env.PATH,
      HOME: dataDir,
      LANG: 'C.UTF-8',
      OS_CLIENT_CONFIG_FILE: join(dataDir, 'clouds.yaml'),
      OS_CLOUD: cloud,
    };
  }

  /** The output of `openstack …`. Throws with what it says when it fails. */
  async openstack(...args: string[]): Promise<string> {
    return (await this.#run('/usr/bin/openstack', args)).stdout;
  }

  /** The same with `-f json`, read. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reaches into answers whose shape is what it checks
  async json(...args: string[]): Promise<any> {
    return JSON.parse(await this.openstack(...args, '-f', 'json'));
  }

  /** What `openstack …` says when it fails, as it must. */
  async refused(...args: string[]): Promise<string> {
    try {
      await this.openstack(...args);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error(`openstack ${args.join(' ')} should have failed`);
  }

  /** The output of a Python script that is given `args`. */
  async python(script: string, ...args: string[]): Promise<string> {
    return (await this.#run(PYTHON, ['-c', script, ...args])).stdout;
  }

  async #run(program: string, args: readonly string[]) {
    try {
      return await run(program, args, { env: this.#env, timeout: TIMEOUT_MS, maxBuffer: 64 * 2 ** 20 });
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      // Without the cause, which repeats all of it and the whole script.
      throw new Error(`${program} ${args.join(' ').slice(0, 300)}\n${stdout ?? ''}${stderr ?? String(error)}`);
    }
  }
}
