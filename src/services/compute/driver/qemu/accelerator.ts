/**
 * Whether this host really can run guests with KVM.
 *
 * /dev/kvm can exist, open, and still be useless (nested hosts without VMX or SVM hang or die there, and
 * `-accel kvm:tcg` does not fall back). So: the processor's flag, write access, and a short start as proof.
 */

import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { QEMU } from './argv.ts';
import type { Spawner } from './spawner.ts';

const SMOKE_TIMEOUT_S = 5;
let probed: Promise<'kvm' | 'tcg'> | undefined;

/** The best accelerator that works. Probed once per process; never rejects for a host that merely lacks KVM. */
export function probeAccelerator(spawner: Spawner): Promise<'kvm' | 'tcg'> {
  probed ??= probe(spawner);
  return probed;
}

async function probe(spawner: Spawner): Promise<'kvm' | 'tcg'> {
  const cpu = await readFile('/proc/cpuinfo', 'latin1');
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(cpu)) return 'tcg';
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
    // One host-like processor that runs the firmware. `timeout` must be the one to kill: ending the shell would leave QEMU.
    const quit = `printf '{"execute":"qmp_capabilities"}{"execute":"quit"}'`;
    const smoke = `timeout -s KILL ${SMOKE_TIMEOUT_S} ${QEMU} -machine q35 -m 32 -accel kvm -cpu host -nodefaults -display none`;
    await spawner.run(['sh', '-c', `${quit} | ${smoke} -qmp stdio`], { cwd: tmpdir() });
    return 'kvm';
  } catch {
    return 'tcg'; // no access, refused, or hung: whichever it was, KVM does not work here
  }
}
