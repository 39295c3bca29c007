/**
 * From POST /servers to ACTIVE with real guests, against the least that QEMU itself needs: `qemu-img create` with the same
 * base, the same command line spawned from Node the simple way, the QMP greeting, and `cont` answered.
 */
import { spawn } from 'node:child_process';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import type { GuestSpec } from '#services/compute/driver/driver.ts';
import { diskFile } from '#services/compute/driver/guest-files.ts';
import { USER_NETWORK } from '#services/compute/driver/guest-network.ts';
import { FILES, qemuArgv } from '#services/compute/driver/qemu/argv.ts';
import { QmpClient } from '#services/compute/driver/qemu/qmp/client.ts';
import { output, tracked } from './lib/child.ts';
import { type BenchCloud, startCloud } from './lib/cloud.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { durations, median, timed } from './lib/stats.ts';

const GOAL = 1.25;

export const launch: Benchmark = {
  name: 'launch',
  async run({ quick, scratch, say }) {
    const rounds = quick ? 10 : 25;
    const cloud = await startCloud(join(scratch, 'cloud'), { driver: 'qemu' });
    const bare = join(scratch, 'bare');
    try {
      const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
      const model = await prepare(cloud, image, join(scratch, 'model'));
      /** Each with a baseline of its own: the host takes a network down while the next launch is measured. */
      const measure = async (what: string, network?: string): Promise<Compared> => {
        const taken: Compared = { ours: [], bare: [] };
        for (let round = 0; round < rounds; round++) {
          say(`${what}: launch ${round + 1} of ${rounds}`);
          taken.bare.push(await bareLaunch(model, bare));
          taken.ours.push(await cloudLaunch(cloud, image, network));
        }
        return taken;
      };
      const alone = await measure('no network');
      const lived = await cloud.addNetwork('lived', '10.98.0.0/24');
      const plane = await settle(cloud, image, lived);
      const joined = await measure('a network', lived);
      const first = await measure('a new network', await cloud.addNetwork('empty', '10.99.0.0/24'));
      const how =
        'm1.nano, image in the cache, GET every 2 ms; baseline: qemu-img create -b, then QEMU with the same command line spawned by child_process, until QMP cont is answered; medians, in turns';
      const ratio = ratioOf(alone);
      return [
        { ...row('POST /servers → ACTIVE, QEMU', alone, how), goal: `≤ ${GOAL}`, met: ratio <= GOAL },
        row(
          'the same, joined to a network',
          joined,
          `with a port on a network that another server of the host is on (vif_type ${plane}); same baseline, without any`,
        ),
        row(
          'the same, the first of its network',
          first,
          'the network’s namespace, bridge, DHCP and filters are made for the launch and gone after it; same baseline',
        ),
      ];
    } finally {
      await cloud.close();
    }
  },
};

interface Compared {
  readonly ours: number[];
  readonly bare: number[];
}

function ratioOf({ ours, bare }: Compared): number {
  return median(ours) / median(bare);
}

function row(what: string, compared: Compared, how: string): Row {
  return { what, ours: durations(compared.ours), baseline: durations(compared.bare), ratio: ratioOf(compared), how };
}

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
  await copyFile(spec.disk.base, base);
  const pid = (await readFile(join(home, 'qemu.pid'), 'utf8')).trim();
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
  await cloud.removeServers([id]);
  const accelerator = words.includes('kvm') ? 'kvm' : 'tcg';
  return { spec: { ...spec, disk: { ...spec.disk, base } }, accelerator, configDrive, base };
}

/** A server of the network that stays, switched off; answers what its host makes of a port, in the words of the network service. */
async function settle(cloud: BenchCloud, image: string, network: string): Promise<string> {
  const { id } = await cloud.launchActive(image, { network });
  await cloud.request('POST', `/compute/v2.1/servers/${id}/action`, { 'os-stop': null });
  await cloud.untilStatus(id, 'SHUTOFF');
  const path = `/network/v2.0/ports?device_id=${id}`;
  const { body } = await cloud.request<{ ports: { 'binding:vif_type': string }[] }>('GET', path);
  return body.ports[0]?.['binding:vif_type'] ?? 'none';
}

async function cloudLaunch(cloud: BenchCloud, image: string, network?: string): Promise<number> {
  const begun = performance.now();
  const { id } = await cloud.launchActive(image, { network });
  const ms = performance.now() - begun;
  await cloud.removeServers([id]);
  return ms;
}

async function bareLaunch({ spec, accelerator, configDrive, base }: Model, dir: string): Promise<number> {
  await mkdir(dir);
  await copyFile(configDrive, join(dir, FILES.configDrive));
  const [program = '', ...args] = qemuArgv(spec, accelerator, dir, USER_NETWORK);
  const { baseFormat, sizeBytes } = spec.disk;
  const disk = [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-F',
    baseFormat,
    '-b',
    base,
    diskFile(spec.disk.name),
    String(sizeBytes),
  ];
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
