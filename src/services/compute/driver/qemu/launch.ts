/**
 * From a created folder to an executing guest.
 *
 * May be killed on any line: the note `starting` precedes the process, so the next attempt searches for it (`handle.ts`)
 * and goes on with what it finds instead of starting a second QEMU on the same disk.
 */

import { constants } from 'node:fs';
import { join } from 'node:path';
import type { GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { unlinkIfThere } from '../guest-files.ts';
import { FILES, hashArgv, qemuArgv } from './argv.ts';
import { readTail } from './console-log.ts';
import { clearHandle, writeHandle } from './handle.ts';
import { identify, type ProcessId, signalProcess, waitForExit } from './process.ts';
import { QmpClient, type QmpObserver } from './qmp/client.ts';
import { ensureFile, LENT, lend, openRegular } from './shared-files.ts';
import type { Exit, Spawner } from './spawner.ts';

/** From spawn to the end of the QMP negotiation; 30 ms on an idle host, but hosts are not always idle. */
const GREETING_TIMEOUT_MS = 30_000;
const KILL_TIMEOUT_MS = 10_000;
const STDERR_BYTES = 2000;

/** The account QEMU runs under when Micronova itself is root. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** What a launch needs besides the guest. */
export interface LaunchTools {
  readonly spawner: Spawner;
  readonly accelerator: 'kvm' | 'tcg';
  readonly user: RunAs | null;
  readonly observe: QmpObserver;
}

/** A QEMU that has been told to run. */
export interface Launched {
  readonly process: ProcessId;
  readonly qmp: QmpClient;
  readonly exited: Promise<Exit | null>;
}

/** Starts QEMU and lets the guest run (`cont`). `start_failed` with QEMU's own words when it does not come up. */
export async function launch(dir: string, spec: GuestSpec, tools: LaunchTools): Promise<Launched> {
  const argv = qemuArgv(spec, tools.accelerator, dir);
  const argvHash = hashArgv(argv);
  await Promise.all([clearHandle(dir), prepareLogs(dir, tools.user), removeSockets(dir)]);
  await writeHandle(dir, { phase: 'starting', process: null, argvHash });
  const words = tools.user ? [...asUser(tools.user), ...argv] : argv;
  const { pid, exited } = await tools.spawner.detach(words, { cwd: dir, log: FILES.qemuLog });
  const death = new AbortController();
  const died = (exit: Exit | null) => death.abort(new Error(describeExit(exit)));
  void exited.then(died);
  const process = await identify(pid);
  try {
    if (!process) throw new Error(describeExit(await exited));
    const options = { timeoutMs: GREETING_TIMEOUT_MS, observe: tools.observe, signal: death.signal };
    const [qmp] = await Promise.all([
      QmpClient.connect(join(dir, FILES.qmp), options),
      writeHandle(dir, { phase: 'started', process, argvHash }),
    ]);
    await qmp.execute('cont');
    return { process, qmp, exited };
  } catch (cause) {
    if (process) await killProcess(process);
    await clearHandle(dir);
    const words = (await readTail(join(dir, FILES.qemuLog), STDERR_BYTES)).trim();
    const why = words || (cause instanceof Error ? cause.message : String(cause));
    throw new DriverError('start_failed', `QEMU of guest ${spec.id} did not start: ${why}`, { cause });
  }
}

/** Kills exactly this process and waits until it is gone. Gone already: nothing. */
export async function killProcess(process: ProcessId): Promise<void> {
  await signalProcess(process, 'SIGKILL');
  if (!(await waitForExit(process, KILL_TIMEOUT_MS))) {
    throw new DriverError('hypervisor_gone', `Process ${process.pid} does not end although it was killed`);
  }
}

/** A process' end in words. */
export function describeExit(exit: Exit | null): string {
  if (exit === null) return 'QEMU died';
  return exit.signal ? `QEMU was killed by signal ${exit.signal}` : `QEMU exited with status ${exit.status}`;
}

/** The words that make a program run as this user. */
export function asUser({ uid, gid }: RunAs): string[] {
  // With the user's own groups, for /dev/kvm. Not QEMU's own -runas: its seccomp filter (elevateprivileges=deny) kills it for that.
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--no-new-privs'];
}

/** An empty log for QEMU's own words, which the shell opens by its name; the console's is kept. */
async function prepareLogs(dir: string, user: RunAs | null): Promise<void> {
  const log = await openRegular(join(dir, FILES.qemuLog), constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC);
  await log.close();
  if (!user) return;
  const consoleLog = join(dir, FILES.consoleLog);
  await ensureFile(consoleLog);
  await lend(consoleLog, user, LENT.toWrite);
}

/** Those of an earlier QEMU, which may have run as another user. */
async function removeSockets(dir: string): Promise<void> {
  const sockets = [FILES.qmp, FILES.qmpDebug, FILES.serial, FILES.vnc];
  await Promise.all(sockets.map((name) => unlinkIfThere(join(dir, name))));
}
