/**
 * The command line of a guest: a pure function of its specification.
 *
 * QEMU runs with the guest's folder as working folder and every path inside it is relative, so that sockets stay within
 * 107 bytes whatever the data folder is called. The boot disk comes first, or the firmware boots the config drive.
 */

import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { GuestDisk, GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { diskFile, disksDirOf, disksOf } from '../guest-files.ts';
import type { GuestNetwork } from '../guest-network.ts';
import { PID_FILE } from './handle.ts';
import { NIC_SLOTS, nicWords, slotted } from './nics.ts';

/** Files in a guest's folder, all named by this module and by `disks.ts` and `config-drive.ts`. */
export const FILES = {
  qmp: 'qmp.sock',
  /** A second QMP server for people: the first is always taken, and a socket serves one client. */
  qmpDebug: 'qmp-debug.sock',
  serial: 'serial.sock',
  vnc: 'vnc.sock',
  consoleLog: 'console.log',
  qemuLog: 'qemu.log',
  /** Where the guest's agent is spoken to. */
  agent: 'qga.sock',
  /** We listen here for the memory of a guest that is suspended … */
  memory: 'memory.sock',
  /** … and QEMU here, when it is to get it back, or to get that of another host's guest … */
  incoming: 'incoming.sock',
  /** … whose disks it gets here. */
  incomingDisks: 'incoming-disks.sock',
  /** Where we listen for what goes to another host. */
  outgoing: 'outgoing.sock',
  outgoingDisks: 'outgoing-disks.sock',
  configDrive: 'config.iso',
  spec: 'spec.json',
} as const;

/** Node name of the boot disk's top layer in QEMU. */
export const ROOT_NODE = 'disk';

/** The program for guests of this host's kind. */
export const QEMU = 'qemu-system-x86_64';

const DISK_NAME = /^[A-Za-z0-9-]{1,60}$/;
const NAME = /^[A-Za-z0-9._-]{1,128}$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Throws `bad_spec` for anything that could not be a safe word on the command line, or that QEMU would refuse. */
export function checkSpec(spec: GuestSpec): void {
  const disks = disksOf(spec);
  const atLeast = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  const rules: [ok: boolean, what: string][] = [
    [NAME.test(spec.name), `name ${JSON.stringify(spec.name)}`],
    [atLeast(spec.vcpus, 1) && spec.vcpus <= 255, `vcpus ${spec.vcpus}`],
    [atLeast(spec.memoryMib, 1), `memoryMib ${spec.memoryMib}`],
    ...disks.flatMap(({ name, base, sizeBytes }): [boolean, string][] => [
      [DISK_NAME.test(name), `disk name ${JSON.stringify(name)}`],
      [base.startsWith('/') && !base.includes('\n'), `base image ${JSON.stringify(base)} (an absolute path is needed)`],
      [atLeast(sizeBytes, 1), `disk size ${sizeBytes}`],
    ]),
    [spec.disksDir === undefined || spec.disksDir.startsWith('/'), `folder of disks ${JSON.stringify(spec.disksDir)}`],
    [new Set(disks.map(({ name }) => name)).size === disks.length, 'two disks of the same name'],
    [spec.nics.length <= NIC_SLOTS, `${spec.nics.length} network cards`],
    [new Set(slotted(spec.nics).map(({ slot }) => slot)).size === spec.nics.length, 'two cards in one slot'],
    ...spec.nics.flatMap(({ mac, portId = '', mtu = 1500, slot = 0 }): [boolean, string][] => [
      [MAC.test(mac), `MAC address ${JSON.stringify(mac)}`],
      [portId === '' || UUID.test(portId), `port ${JSON.stringify(portId)}`],
      [atLeast(mtu, 68) && mtu <= 65_535, `MTU ${mtu}`],
      [atLeast(slot, 0) && slot < NIC_SLOTS, `slot ${slot}`],
    ]),
  ];
  const broken = rules.find(([ok]) => !ok);
  if (broken) throw new DriverError('bad_spec', `Guest ${spec.id}: cannot use ${broken[1]}`);
}

/**
 * QEMU's words, the program's name first. Starts with the processors stopped (`-S`): the driver says `cont`.
 *
 * `dir` is the guest's folder and QEMU's working directory. Whatever is in it is named relative to it, so that a QEMU
 * that runs as its own user needs no way through the folders above, and has none to other guests' files.
 */
export function qemuArgv(spec: GuestSpec, accelerator: 'kvm' | 'tcg', dir: string, network: GuestNetwork): string[] {
  return [
    QEMU,
    ...['-name', `guest=${spec.name},debug-threads=on`],
    ...(UUID.test(spec.id) ? ['-uuid', spec.id] : []),
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-pidfile', PID_FILE],
    ...['-machine', 'q35', '-accel', accelerator],
    // A guest that put itself to sleep would do so for ever: nobody here wakes it.
    ...['-global', 'ICH9-LPC.disable_s3=1', '-global', 'ICH9-LPC.disable_s4=1'],
    ...(accelerator === 'kvm' ? ['-cpu', 'host'] : []),
    ...['-m', `${spec.memoryMib}`, '-smp', `${spec.vcpus}`],
    // What cloud-init looks for to recognise an OpenStack guest before it has a network.
    ...['-smbios', 'type=1,manufacturer=Micronova,product=OpenStack Compute'],
    ...serial(),
    ...monitor('qmp', FILES.qmp),
    ...monitor('qmp-debug', FILES.qmpDebug),
    ...['-vga', 'std', '-vnc', `unix:${FILES.vnc}`],
    ...disksOf(spec).flatMap((disk, index) => diskWords(diskChain(disk, index, dir, disksDirOf(dir, spec)), index)),
    ...(spec.configDrive ? configDrive() : []),
    ...nicWords(spec.nics, network),
    ...(spec.guestAgent ? agentPort() : []),
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
  ];
}

/** A short fingerprint of a command line, for the handle. */
export function hashArgv(argv: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(argv)).digest('hex').slice(0, 16);
}

function serial(): string[] {
  // logappend: QEMU opens the log with O_APPEND, so that it may be truncated in place while the guest writes.
  const chardev = `socket,id=serial,path=${FILES.serial},server=on,wait=off,logfile=${FILES.consoleLog},logappend=on`;
  return ['-chardev', chardev, '-serial', 'chardev:serial'];
}

function monitor(id: string, path: string): string[] {
  return ['-chardev', `socket,id=${id},path=${path},server=on,wait=off`, '-mon', `chardev=${id},mode=control`];
}

/**
 * A disk's layers as QEMU's block options; paths inside `dir`, where QEMU works, are relative to it. The boot disk has index 0. A disk
 * that other hosts may see (its folder is not `dir`) is opened with a lock or not at all: two QEMUs never write one.
 */
export function diskChain(disk: GuestDisk, index: number, dir: string, disksDir = dir) {
  const file = (filename: string) => ({ driver: 'file', filename });
  const locking = disksDir === dir ? {} : { locking: 'on' };
  const suffix = index === 0 ? '' : `${index}`;
  const base = {
    driver: disk.baseFormat,
    'node-name': `base${suffix}`,
    'read-only': true,
    file: file(within(dir, disk.base)),
  };
  return {
    driver: 'qcow2',
    'node-name': nodeOf(index),
    discard: 'unmap',
    file: { ...file(within(dir, join(disksDir, diskFile(disk.name)))), discard: 'unmap', ...locking },
    // The chain is spelled out so that no file is opened because an image's header says so.
    backing: disk.baseFormat === 'qcow2' ? { ...base, backing: null } : base,
  };
}

/** Name of a disk's top layer in QEMU, in the order of `disksOf`. */
export function nodeOf(index: number): string {
  return index === 0 ? ROOT_NODE : `${ROOT_NODE}${index}`;
}

function diskWords(chain: ReturnType<typeof diskChain>, index: number): string[] {
  const place = index === 0 ? 'id=root,bootindex=1' : `id=disk${index}`;
  return ['-blockdev', JSON.stringify(chain), '-device', `virtio-blk-pci,drive=${chain['node-name']},${place}`];
}

function agentPort(): string[] {
  return [
    ...['-device', 'virtio-serial-pci,id=agent-bus'],
    ...['-chardev', `socket,id=agent,path=${FILES.agent},server=on,wait=off`],
    ...['-device', 'virtserialport,bus=agent-bus.0,chardev=agent,name=org.qemu.guest_agent.0'],
  ];
}

function within(dir: string, path: string): string {
  return dirname(path) === dir ? basename(path) : path;
}

function configDrive(): string[] {
  const node = {
    driver: 'raw',
    'node-name': 'config',
    'read-only': true,
    file: { driver: 'file', filename: FILES.configDrive },
  };
  return ['-blockdev', JSON.stringify(node), '-device', 'virtio-blk-pci,drive=config,id=config-drive'];
}
