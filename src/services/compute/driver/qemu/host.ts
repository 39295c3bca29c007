/** What the host has, as far as guests are concerned: asked of the kernel, and of QEMU for its version. */

import { mkdir, readFile, statfs } from 'node:fs/promises';
import { arch, availableParallelism, totalmem } from 'node:os';
import type { Inventory } from '../driver.ts';
import { QEMU } from './argv.ts';
import type { Spawner } from './spawner.ts';

/** All memory of the host in MiB. */
export function hostMemoryMib(): number {
  return Math.floor(totalmem() / 2 ** 20);
}

/** The host's totals; the disk is the file system of `instancesDir`, which is made when missing. Runs QEMU once. */
export async function hostInventory(instancesDir: string, spawner: Spawner): Promise<Inventory> {
  await mkdir(instancesDir, { recursive: true });
  const [versionText, disk, cpu] = await Promise.all([
    spawner.run([QEMU, '--version'], { cwd: instancesDir }),
    statfs(instancesDir),
    readFile('/proc/cpuinfo', 'latin1'),
  ]);
  const [, major = 0, minor = 0, micro = 0] = /version (\d+)\.(\d+)\.(\d+)/.exec(versionText)?.map(Number) ?? [];
  return {
    vcpus: availableParallelism(),
    memoryMib: hostMemoryMib(),
    diskGib: Math.floor((disk.blocks * disk.bsize) / 2 ** 30),
    hypervisorType: 'QEMU',
    hypervisorVersion: major * 1_000_000 + minor * 1000 + micro,
    cpuModel: /^model name\s*:\s*(.*)$/m.exec(cpu)?.[1] ?? 'unknown',
    cpuArch: arch() === 'x64' ? 'x86_64' : arch(),
  };
}
