/**
 * The side to which a guest comes from another host: empty disks, and a QEMU that waits for what fills them and for the memory.
 *
 * A note (`move-note.ts`) is there from before the first file until just before the processors run for the first time here. With
 * it, nothing in the folder is believed to be a guest: repeated, everything is made anew.
 */

import { mkdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { GuestSpec, MoveStream } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { diskFile, disksOf, readSpec, unlinkIfThere } from '../guest-files.ts';
import { FILES, nodeOf, qemuArgv } from './argv.ts';
import { tolerateRefusal } from './block-job.ts';
import type { Tools } from './disks.ts';
import { type Accelerator, type Launched, type LaunchTools, launch } from './launch.ts';
import { INCOMING } from './migration.ts';
import { dropMove, readMove, writeMove } from './move-note.ts';
import type { QmpClient } from './qmp/client.ts';
import { createFiles } from './specification.ts';
import { connectUnix } from './unix-socket.ts';

const SOCKETS: Readonly<Record<MoveStream, string>> = { memory: FILES.incoming, disks: FILES.incomingDisks };

/** Makes the files, all of them in the guest's folder. There must be no process of the guest. */
export async function makeEmptyFiles(dir: string, spec: GuestSpec, tools: Tools): Promise<void> {
  // What another host may see is not ours to empty.
  if (spec.disksDir !== undefined) throw new DriverError('bad_spec', `Guest ${spec.id} comes with disks of its own`);
  await forget(dir, spec);
  await createFiles(dir, spec, tools);
}

/** Makes the files beside the disks, which are where the specification says. There must be no process of the guest. */
export async function makeFilesBeside(dir: string, spec: GuestSpec, tools: Tools): Promise<void> {
  await forget(dir, spec);
  await createFiles(dir, spec, { ...tools, hasDisks: 'inUse' });
}

/** What an earlier attempt made in the guest's folder goes, and the note is there. */
async function forget(dir: string, spec: GuestSpec): Promise<void> {
  const before = await readSpec(dir);
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await writeMove(dir, { to: 'here' });
  await unlinkIfThere(join(dir, FILES.spec));
  for (const { name } of [...disksOf(spec), ...(before ? disksOf(before) : [])])
    await unlinkIfThere(join(dir, diskFile(name)));
}

/** Starts the QEMU that waits. QMP: `migrate-incoming`, `nbd-server-start`, `block-export-add`. */
export function launchIncoming(
  dir: string,
  spec: GuestSpec,
  accelerator: Accelerator,
  tools: LaunchTools,
  { sharedDisks }: { readonly sharedDisks: boolean },
): Promise<Launched> {
  const argv = qemuArgv(spec, accelerator, dir, tools.network);
  return launch(dir, spec, [...argv, ...INCOMING], tools, async (qmp) => {
    await qmp.execute('migrate-incoming', { uri: `unix:${FILES.incoming}` });
    if (sharedDisks) return;
    await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path: FILES.incomingDisks } } });
    for (const [index, { name }] of disksOf(spec).entries()) {
      const id = `incoming-${index}`;
      await qmp.execute('block-export-add', { type: 'nbd', id, 'node-name': nodeOf(index), name, writable: true });
    }
  });
}

/** A connection to the QEMU that waits. Rejects with the system's error when nobody listens. */
export async function connectIncoming(dir: string, stream: MoveStream): Promise<Socket> {
  const socket = await connectUnix(join(dir, SOCKETS[stream]));
  socket.on('error', () => undefined); // who reads from it hears of it, too
  return socket;
}

/** Whether everything has come: the memory, which is sent when the disks are the same on both sides. */
export async function hasCome(qmp: QmpClient): Promise<boolean> {
  const { status } = await qmp.execute('query-migrate');
  return status === 'completed' && (await qmp.execute('query-status')).status !== 'inmigrate';
}

/** Makes a guest like others of one that has come; its processors stand still. It comes no more: nothing, and false. */
export async function takeOver(qmp: QmpClient, dir: string): Promise<boolean> {
  const move = await readMove(dir);
  if (move?.to !== 'here') return false;
  if (!(await hasCome(qmp))) throw new DriverError('command_failed', 'It has not come from the other host as a whole');
  await tolerateRefusal(qmp.execute('nbd-server-stop'));
  for (const name of Object.values(SOCKETS)) await unlinkIfThere(join(dir, name));
  await dropMove(dir);
  return true;
}
