/**
 * From a created folder to a QEMU.
 *
 * May be killed on any line: the note `starting` precedes the process, so the next attempt searches for it (`handle.ts`)
 * and goes on with what it finds instead of starting a second QEMU on the same disk.
 */

import { constants } from 'node:fs';
import { join } from 'node:path';
import type { GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { disksDirOf, disksOf, unlinkIfThere } from '../guest-files.ts';
import type { GuestNetwork } from '../guest-network.ts';
import { FILES, hashArgv, qemuArgv } from './argv.ts';
import { readTail } from './console-log.ts';
import { clearHandle, writeHandle } from './handle.ts';
import { lendFiles } from './lend-files.ts';
import { announce } from './nics.ts';
import { identify, type ProcessId, signalProcess, waitForExit } from './process.ts';
import { QmpClient, type QmpObserver } from './qmp/client.ts';
import { asUser, type RunAs } from './run-as.ts';
import { ensureFile, LENT, lend, openRegular, shareFolder } from './shared-files.ts';
import type { Exit, Spawner } from './spawner.ts';

/** From spawn to the end of the QMP negotiation; 30 ms on an idle host, but hosts are not always idle. */
const GREETING_TIMEOUT_MS = 30_000;
const KILL_TIMEOUT_MS = 10_000;
const STDERR_BYTES = 2000;

/** How instructions are executed. */
export type Accelerator = 'kvm' | 'tcg';

/** What a launch needs besides the guest. */
export interface LaunchTools {
  readonly spawner: Spawner;
  readonly user: RunAs | null;
  readonly network: GuestNetwork;
  readonly observe: QmpObserver;
}

/** A QEMU that answers. */
export interface Launched {
  readonly process: ProcessId;
  readonly qmp: QmpClient;
  readonly exited: Promise<Exit | null>;
}

/** Boots the guest: starts QEMU and lets the processors run (`cont`). */
export async function boot(
  dir: string,
  spec: GuestSpec,
  accelerator: Accelerator,
  tools: LaunchTools,
): Promise<Launched> {
  if (tools.user) {
    // It may have been made when QEMU ran as somebody else.
    await shareFolder(dir, tools.user);
    await lendFiles(
      dir,
      { disks: disksOf(spec), drive: spec.configDrive !== null, disksDir: disksDirOf(dir, spec) },
      tools.user,
    );
  }
  return launch(dir, spec, qemuArgv(spec, accelerator, dir, tools.network), tools, async (qmp) => {
    await tools.network.join(spec.nics);
    await qmp.execute('cont');
    await announce(qmp);
  });
}

/**
 * Starts QEMU and gets it ready. `start_failed`, with QEMU's own words, when it does not come up or `prepare` fails; no process
 * is left then.
 */
export async function launch(
  dir: string,
  { id, nics }: Pick<GuestSpec, 'id' | 'nics'>,
  argv: readonly string[],
  tools: LaunchTools,
  prepare: (qmp: QmpClient) => Promise<void>,
): Promise<Launched> {
  const argvHash = hashArgv(argv);
  await Promise.all([clearHandle(dir), prepareLogs(dir, tools.user), removeSockets(dir)]);
  await writeHandle(dir, { phase: 'starting', process: null, argvHash, argv });
  const { user, network } = tools;
  await network.prepare(nics);
  const words = [...(await network.enter(nics)), ...(user ? asUser(user) : []), ...argv];
  const { pid, exited } = await tools.spawner.detach(words, { cwd: dir, log: FILES.qemuLog });
  const death = new AbortController();
  const died = (exit: Exit | null) => death.abort(new Error(describeExit(exit)));
  void exited.then(died);
  const process = await identify(pid);
  try {
    if (!process) throw new Error(describeExit(await exited));
    const options = { timeoutMs: GREETING_TIMEOUT_MS, observe: tools.observe, signal: death.signal };
    // While QEMU comes up; not beside the connecting, whose failure takes the note back.
    await writeHandle(dir, { phase: 'started', process, argvHash, argv });
    const qmp = await QmpClient.connect(join(dir, FILES.qmp), options);
    await prepare(qmp);
    return { process, qmp, exited };
  } catch (cause) {
    if (process) await killProcess(process);
    await clearHandle(dir);
    const words = (await readTail(join(dir, FILES.qemuLog), STDERR_BYTES)).trim();
    const why = words || (cause instanceof Error ? cause.message : String(cause));
    throw new DriverError('start_failed', `QEMU of guest ${id} did not start: ${why}`, { cause });
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
  const { qmp, qmpDebug, serial, vnc, agent, incoming, incomingDisks } = FILES;
  const sockets = [qmp, qmpDebug, serial, vnc, agent, incoming, incomingDisks];
  await Promise.all(sockets.map((name) => unlinkIfThere(join(dir, name))));
}
