/** A host for tests with real guests: a folder, its QEMU driver, and what can be seen of its one guest. */

import { chmod, copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { SerialConsole } from '../../../../cli/serial-console.ts';
import type { Driver, GuestEvent, GuestId, GuestSpec } from '../driver.ts';
import { qemuDriver } from '../qemu/qemu-driver.ts';
import { QmpClient } from '../qemu/qmp/client.ts';
import type { RunAs } from '../qemu/run-as.ts';
import { until } from './bench.ts';

const PASSWORD = 'correct-horse';
const MIB = 2 ** 20;

/** See the head of this file. */
export class QemuHost {
  /** The guest's folder. */
  readonly dir: string;
  readonly folder: string;
  readonly events: GuestEvent[] = [];
  readonly #id: GuestId;
  readonly #user: RunAs | null;
  driver!: Driver;

  constructor(folder: string, id: GuestId, user: RunAs | null) {
    this.folder = folder;
    this.dir = join(folder, id);
    this.#id = id;
    this.#user = user;
  }

  /** With the base image in the guest's folder, as an agent puts it there. */
  async prepare(): Promise<void> {
    await mkdir(this.dir, { recursive: true });
    await chmod(this.folder, 0o711);
    await copyFile(guestImagePath(), join(this.dir, 'base'));
    this.open();
  }

  open(): void {
    this.driver = qemuDriver({ instancesDir: this.folder, user: this.#user });
    this.driver.onEvent((event) => this.events.push(event));
  }

  /** Another driver takes the guest over. */
  async reopen(): Promise<void> {
    await this.driver.close({ stopGuests: false });
    this.open();
  }

  spec(): GuestSpec {
    const base = { base: join(this.dir, 'base'), baseFormat: 'qcow2' } as const;
    const meta = JSON.stringify({ uuid: this.#id, hostname: 'tester', admin_pass: PASSWORD });
    return {
      id: this.#id,
      name: 'tester',
      vcpus: 1,
      memoryMib: 128,
      disk: { name: 'disk', ...base, sizeBytes: 256 * MIB },
      otherDisks: [{ name: 'second', ...base, sizeBytes: 128 * MIB }],
      guestAgent: false,
      nics: [{ mac: '52:54:00:00:00:04' }],
      configDrive: { 'openstack/latest/meta_data.json': meta },
    };
  }

  async pid(): Promise<number> {
    return JSON.parse(await readFile(join(this.dir, 'own', 'handle.json'), 'utf8')).process.pid;
  }

  /** A shell of the guest, also where it counts; whenever something is said on the console, `times` gets the moment. */
  async loggedIn(times: number[] = []): Promise<SerialConsole> {
    // A Unix socket by another name.
    const socket = (await this.driver.openConsole(this.#id, 'serial')) as ConstructorParameters<
      typeof SerialConsole
    >[0];
    listen(socket, times);
    const console = new SerialConsole(socket);
    await console.interrupt();
    await console.login(PASSWORD);
    return console;
  }

  /** Makes it count on its console, every 20 ms. */
  async count(guest: SerialConsole): Promise<void> {
    guest.send('n=0; while :; do n=$((n + 1)); echo "tick $n"; usleep 20000; done\n');
    await this.ticksOn();
  }

  /** How far it has counted, as its console says here. */
  async ticks(): Promise<number[]> {
    const said = await this.driver.consoleOutput(this.#id, 1_000_000);
    return [...said.matchAll(/tick (\d+)\r/g)].map(([, tick]) => Number(tick));
  }

  async ticksOn(): Promise<void> {
    const before = (await this.ticks()).length;
    await until(async () => (await this.ticks()).length > before + 10, 'it counts on');
  }

  /** What goes on in QEMU beside the guest, and which files it has. */
  async traces() {
    const qmp = await QmpClient.connect(join(this.dir, 'qmp-debug.sock'), { timeoutMs: 10_000 });
    try {
      const nodes = (await qmp.execute('query-named-block-nodes', { flat: true })).map((node) => node['node-name']);
      return {
        jobs: await qmp.execute('query-jobs'),
        nodes: nodes.toSorted(),
        files: [...(await readdir(this.dir)), ...(await readdir(join(this.dir, 'own')))].toSorted(),
      };
    } finally {
      qmp.close();
    }
  }
}

/** Notes when something was said on a console. */
export function listen(console: Duplex, times: number[]): void {
  console.on('data', () => times.push(performance.now()));
}

/** Of moments in their order, in ms. */
export function longestGap(times: readonly number[]): number {
  return Math.max(0, ...times.slice(1).map((time, index) => time - (times[index] ?? time)));
}
