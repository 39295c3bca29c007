/**
 * From POST /servers to ACTIVE with real guests, against the least that QEMU itself needs: `qemu-img create` with the same
 * base, the same command line spawned from Node the simple way, the QMP greeting, and `cont` answered.
 */
import { spawn } from 'node:child_process';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import type { GuestSpec } from '#services/compute/driver/driver.ts';
import { FILES, qemuArgv } from '#services/compute/driver/qemu/argv.ts';
import { QmpClient } from '#services/compute/driver/qemu/qmp/client.ts';
import { output, tracked } from './lib/child.ts';
import { type BenchCloud, startCloud } from './lib/cloud.ts';
import type { Benchmark } from './lib/row.ts';
import { durations, median, timed } from './lib/stats.ts';

const GOAL = 1.25;

export const launch: Benchmark = {
  name: 'launch',
  async run({ quick, scratch, say }) {
    const rounds = quick ? 10 : 25;
    const cloud = await startCloud(join(scratch, 'cloud'), { driver: 'qemu' });
    const ours: number[] = [];
    const bare: number[] = [];
    try {
      const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
      const model = await prepare(cloud, image, join(scratch, 'model'));
      for (let round = 0; round < rounds; round++) {
        say(`launch ${round + 1} of ${rounds}`);
        bare.push(await bareLaunch(model, join(scratch, 'bare')));
        ours.push(await cloudLaunch(cloud, image));
      }
    } finally {
      await cloud.close();
    }
    const ratio = median(ours) / median(bare);
    return [
      {
        what: 'POST /servers → ACTIVE, QEMU',
        ours: durations(ours),
        baseline: durations(bare),
        ratio,
        goal: `≤ ${GOAL}`,
        met: ratio <= GOAL,
        how: 'm1.nano, image in the cache, GET every 2 ms; baseline: qemu-img create -b, then QEMU with the same command line spawned by child_process, until QMP cont is answered; medians, in turns',
      },
    ];
  },
};

interface Model {
  readonly spec: GuestSpec;
  readonly accelerator: 'kvm' | 'tcg';
  /** A finished config drive, which the bare launch is given. */
  readonly configDrive: string;
  readonly base: string;
}

/** Launches one server and keeps what its QEMU was started with. */
async function prepare(cloud: BenchCloud, image: string, dir: string): Promise<Model> {
  const { id } = await cloud.launchActive(image);
  const home = join(cloud.dir, 'instances', id);
  await mkdir(dir);
  const [configDrive, base] = [join(dir, FILES.configDrive), join(dir, 'base')];
  // Our own driver wrote it.
  const spec = JSON.parse(await readFile(join(home, FILES.spec), 'utf8')) as GuestSpec;
  await copyFile(join(home, FILES.configDrive), configDrive);
  await copyFile(join(home, 'base'), base);
  const pid = (await readFile(join(home, 'qemu.pid'), 'utf8')).trim();
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
  await cloud.removeServers([id]);
  const accelerator = words.includes('kvm') ? 'kvm' : 'tcg';
  return { spec: { ...spec, disk: { ...spec.disk, base } }, accelerator, configDrive, base };
}

async function cloudLaunch(cloud: BenchCloud, image: string): Promise<number> {
  const begun = performance.now();
  const { id } = await cloud.launchActive(image);
  const ms = performance.now() - begun;
  await cloud.removeServers([id]);
  return ms;
}

async function bareLaunch({ spec, accelerator, configDrive, base }: Model, dir: string): Promise<number> {
  await mkdir(dir);
  await copyFile(configDrive, join(dir, FILES.configDrive));
  const [program = '', ...args] = qemuArgv(spec, accelerator, dir);
  const { baseFormat, sizeBytes } = spec.disk;
  const disk = ['create', '-q', '-f', 'qcow2', '-F', baseFormat, '-b', base, FILES.disk, String(sizeBytes)];
  let end = async () => {};
  const ms = await timed(async () => {
    await output('qemu-img', disk, dir);
    const qemu = tracked(spawn(program, args, { cwd: dir, stdio: 'ignore' }));
    const exited = new Promise<void>((resolve) => qemu.once('exit', () => resolve()));
    end = async () => {
      qemu.kill('SIGKILL');
      await exited;
    };
    const qmp = await QmpClient.connect(join(dir, FILES.qmp), { timeoutMs: 30_000 });
    await qmp.execute('cont');
    qmp.close();
  });
  await end();
  await rm(dir, { recursive: true });
  return ms;
}
