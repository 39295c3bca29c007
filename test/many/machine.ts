/**
 * A machine of a test's own: a copy of this one's files that it may write to (an overlay, in memory), booted by its own systemd in a network
 * namespace. Nothing of it lasts: mounts end with the processes that see them, and those end with the test, however that ends.
 *
 * It begins as Debian's packages leave a machine, whatever was done with this one. Needs root, overlayfs and control groups that may be written.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../eventually.ts';

export interface MachineOptions {
  readonly name: string;
  /** Its network namespace. */
  readonly namespace: string;
  /** Folder for its mounts, which only it sees. */
  readonly dir: string;
  /** More that is done to its files, in `$root`, before it boots. */
  readonly prepare: string;
}

const BOOT_MS = 60_000;
/** Of the control groups that systemd wants: one hierarchy, or the two of older machines. */
const GROUPS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'];

/** Run in a mount namespace. A group of its own keeps its systemd from those of the others. */
const START = `
set -e
for groups in $GROUPS; do
  if [ -e $groups/cgroup.procs ]; then mkdir $groups/$id; echo 0 > $groups/$id/cgroup.procs; fi
done
mount -t tmpfs -o mode=755 $id $dir
mkdir $dir/upper $dir/work $dir/root
mount -t overlay -o lowerdir=/,upperdir=$dir/upper,workdir=$dir/work $id $dir/root
root=$dir/root
# As on a new machine: what is installed is all that there is, and nothing of ours.
rm -rf $root/var/lib/apt/lists/* $root/var/lib/micronova $root/etc/micronova $root/usr/sbin/policy-rc.d
sed -i '/^micronova/d; s/,micronova-qemu//; s/micronova-qemu$//' $root/etc/passwd $root/etc/group $root/etc/shadow $root/etc/gshadow
for unit in apt-daily.timer apt-daily-upgrade.timer man-db.timer systemd-timesyncd.service; do
  ln -sf /dev/null $root/etc/systemd/system/$unit
done
echo $name > $root/etc/hostname
{ echo '127.0.0.1 localhost'; echo "127.0.1.1 $name"; } > $root/etc/hosts
eval "$prepare"
# Its network is its own, and so are the settings of it.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
exec systemd-nspawn --quiet --boot --directory=$root --machine=$id --hostname=$name --uuid=$uuid --register=no --keep-unit \
  --network-namespace-path=/run/netns/$namespace --capability=CAP_NET_ADMIN --resolv-conf=off --timezone=off --link-journal=no --console=pipe
`;

export class Machine {
  readonly name: string;
  readonly #id: string;
  /** `unshare`, below which `systemd-nspawn` is and then the machine. */
  readonly #nspawn: ChildProcess;
  #leader = 0;
  #said = '';

  private constructor(name: string, id: string, nspawn: ChildProcess) {
    this.name = name;
    this.#id = id;
    this.#nspawn = nspawn;
    for (const stream of [nspawn.stdout, nspawn.stderr])
      stream?.on('data', (text: Buffer) => {
        this.#said = (this.#said + text).slice(-4_000);
      });
  }

  /** Resolves when its systemd has started all it wants to. */
  static async boot({ name, namespace, dir, prepare }: MachineOptions): Promise<Machine> {
    const id = `${namespace}-${name}`;
    const env = { GROUPS: GROUPS.join(' '), id, name, namespace, dir, prepare, uuid: randomUUID().replaceAll('-', '') };
    // Processes of its own too, whose first dies with us: then the kernel ends them all, as deep as they are.
    const apart = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const nspawn = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...apart, 'sh', '-c', START], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    });
    const machine = new Machine(name, id, nspawn);
    try {
      await machine.#untilBooted();
    } catch (error) {
      await machine.close();
      throw error;
    }
    return machine;
  }

  /** Runs a script there as its root does, to its end; rejects with what it said when a command of it fails. */
  async run(script: string): Promise<string> {
    const words = [...this.#enter, 'bash', '--norc', '-euo', 'pipefail', '-c', script];
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const child = execFile('nsenter', words, { maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`on ${this.name}, status ${error.code}:\n${script}\n${stdout}${stderr}`));
      else resolve(stdout);
    });
    child.stdin?.end();
    return promise;
  }

  /** Ends it as a power cut does. Nothing of it is left. */
  async close(): Promise<void> {
    if (this.#nspawn.exitCode === null && this.#nspawn.signalCode === null) {
      const exited = once(this.#nspawn, 'exit');
      // `unshare` ends by itself when the first of its processes does, and has buried it then.
      const first = childrenOf(this.#nspawn.pid ?? 0);
      for (const pid of first) process.kill(pid, 'SIGKILL');
      if (first.length === 0) this.#nspawn.kill('SIGKILL');
      await exited;
    }
    for (const groups of GROUPS) await removeGroups(join(groups, this.#id));
    await rm(join('/run/systemd/nspawn/propagate', this.#id), { recursive: true, force: true });
  }

  get #enter(): string[] {
    const environment = [
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOME=/root',
      'LANG=C.UTF-8',
    ];
    return ['-t', `${this.#leader}`, '-a', '-w', 'env', '-i', ...environment];
  }

  async #untilBooted(): Promise<void> {
    await eventually(
      `${this.name} has a systemd`,
      async () => {
        if (this.#nspawn.exitCode !== null || this.#nspawn.signalCode) throw new Error(`${this.name}: ${this.#said}`);
        this.#leader = leaderBelow(this.#nspawn.pid ?? 0);
        return this.#leader !== 0;
      },
      { withinMs: BOOT_MS },
    );
    // Degraded is what a machine is on which something that nobody needs here has failed.
    const state = await promisify(execFile)('nsenter', [
      ...this.#enter,
      'sh',
      '-c',
      'systemctl is-system-running --wait || :',
    ]);
    if (!/^(running|degraded)$/.test(state.stdout.trim()))
      throw new Error(`${this.name} is ${state.stdout}${this.#said}`);
  }
}

/** The first process of the machine below a process of ours: its number 1, and systemd already; 0 while there is none. */
function leaderBelow(parent: number): number {
  const status = read(`/proc/${parent}/status`);
  const isFirst = /^NSpid:.*\t1$/m.test(status) && /^Name:\tsystemd$/m.test(status);
  if (isFirst) return existsSync(`/proc/${parent}/root/run/systemd/private`) ? parent : 0;
  for (const pid of childrenOf(parent)) {
    const found = leaderBelow(pid);
    if (found !== 0) return found;
  }
  return 0;
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

/** Empty where a process has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** From the leaves; the kernel has some of them for a moment after the last process. */
async function removeGroups(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const each of await readdir(path, { withFileTypes: true }))
    if (each.isDirectory()) await removeGroups(join(path, each.name));
  await eventually(`${path} is gone`, async () => {
    try {
      rmdirSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    }
    return !existsSync(path);
  });
}
