/**
 * The command line of a guest: a pure function of its specification.
 *
 * QEMU runs with the guest's folder as working folder and every path inside it is relative, so that sockets stay within
 * 107 bytes whatever the data folder is called. The root disk comes first, or the firmware boots the config drive.
 */

import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import type { GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { PID_FILE } from './handle.ts';

/** Files in a guest's folder, all named by this module and by `disks.ts` and `config-drive.ts`. */
export const FILES = {
  qmp: 'qmp.sock',
  /** A second QMP server for people: the first is always taken, and a socket serves one client. */
  qmpDebug: 'qmp-debug.sock',
  serial: 'serial.sock',
  vnc: 'vnc.sock',
  consoleLog: 'console.log',
  qemuLog: 'qemu.log',
  disk: 'disk.qcow2',
  configDrive: 'config.iso',
  spec: 'spec.json',
} as const;

/** Node name of the root disk's top layer in QEMU. */
export const ROOT_NODE = 'disk';

/** The program for guests of this host's kind. */
export const QEMU = 'qemu-system-x86_64';

const NAME = /^[A-Za-z0-9._-]{1,128}$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Free slots for later hot-plug; q35 takes one device per root port. */
const SPARE_PORTS = 2;

/** Throws `bad_spec` for anything that could not be a safe word on the command line, or that QEMU would refuse. */
export function checkSpec(spec: GuestSpec): void {
  const { base, sizeBytes } = spec.disk;
  const atLeast = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  const rules: [ok: boolean, what: string][] = [
    [NAME.test(spec.name), `name ${JSON.stringify(spec.name)}`],
    [atLeast(spec.vcpus, 1) && spec.vcpus <= 255, `vcpus ${spec.vcpus}`],
    [atLeast(spec.memoryMib, 1), `memoryMib ${spec.memoryMib}`],
    [base.startsWith('/') && !base.includes('\n'), `base image ${JSON.stringify(base)} (an absolute path is needed)`],
    [atLeast(sizeBytes, 1), `disk size ${sizeBytes}`],
    ...spec.nics.map(({ mac }): [boolean, string] => [MAC.test(mac), `MAC address ${JSON.stringify(mac)}`]),
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
export function qemuArgv(spec: GuestSpec, accelerator: 'kvm' | 'tcg', dir: string): string[] {
  return [
    QEMU,
    ...['-name', `guest=${spec.name},debug-threads=on`],
    ...(UUID.test(spec.id) ? ['-uuid', spec.id] : []),
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-pidfile', PID_FILE],
    ...['-machine', 'q35', '-accel', accelerator],
    ...(accelerator === 'kvm' ? ['-cpu', 'host'] : []),
    ...['-m', `${spec.memoryMib}`, '-smp', `${spec.vcpus}`],
    // What cloud-init looks for to recognise an OpenStack guest before it has a network.
    ...['-smbios', 'type=1,manufacturer=Micronova,product=OpenStack Compute'],
    ...serial(),
    ...monitor('qmp', FILES.qmp),
    ...monitor('qmp-debug', FILES.qmpDebug),
    ...['-vga', 'std', '-vnc', `unix:${FILES.vnc}`],
    ...rootDisk(spec, dir),
    ...(spec.configDrive ? configDrive() : []),
    ...spec.nics.flatMap((nic, index) => [
      ...['-netdev', `user,id=net${index},restrict=off`],
      ...['-device', `virtio-net-pci,netdev=net${index},id=nic${index},mac=${nic.mac},romfile=`],
    ]),
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
    ...Array.from({ length: SPARE_PORTS }, (_, index) => [
      '-device',
      `pcie-root-port,id=spare${index},chassis=${index + 1},slot=${index + 1}`,
    ]).flat(),
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

/** The root disk's layers as QEMU's block options; paths inside `dir` are relative to it. */
export function rootChain(spec: GuestSpec, dir: string) {
  const file = (filename: string) => ({ driver: 'file', filename });
  const base = {
    driver: spec.disk.baseFormat,
    'node-name': 'base',
    'read-only': true,
    file: file(within(dir, spec.disk.base)),
  };
  return {
    driver: 'qcow2',
    'node-name': ROOT_NODE,
    discard: 'unmap',
    file: { ...file(FILES.disk), discard: 'unmap' },
    // The chain is spelled out so that no file is opened because an image's header says so.
    backing: spec.disk.baseFormat === 'qcow2' ? { ...base, backing: null } : base,
  };
}

function rootDisk(spec: GuestSpec, dir: string): string[] {
  return [
    '-blockdev',
    JSON.stringify(rootChain(spec, dir)),
    '-device',
    `virtio-blk-pci,drive=${ROOT_NODE},id=root,bootindex=1`,
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
