/**
 * Network cards: their words on the command line, and plugging them while the guest runs.
 *
 * Each card is in a root port of its own, whose number (`slot`) is in the specification: so whichever are plugged or taken out,
 * the others stay where they are, in this QEMU and in one that gets its memory or takes its place.
 */

import type { GuestNic } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import type { GuestNetwork } from '../guest-network.ts';
import { tolerateRefusal } from './block-job.ts';
import { follow } from './follow.ts';
import type { QmpClient } from './qmp/client.ts';

/** So many cards can a guest have. */
export const NIC_SLOTS = 8;

/** A guest that was asked to let go of a card may be busy, or still booting. */
const UNPLUG_TIMEOUT_MS = 20_000;

/** A card that knows its slot. */
export type SlottedNic = GuestNic & { readonly slot: number };

/** With their slots: those that have none come one behind the other, as they always were on the command line. */
export function slotted(nics: readonly GuestNic[]): SlottedNic[] {
  return nics.map((nic, index) => ({ ...nic, slot: nic.slot ?? index }));
}

/** The card in the lowest free slot. Throws `command_failed` when all are taken. */
export function inFreeSlot(nic: GuestNic, others: readonly SlottedNic[]): SlottedNic {
  const taken = new Set(others.map(({ slot }) => slot));
  const slot = Array.from({ length: NIC_SLOTS }, (_, index) => index).find((index) => !taken.has(index));
  if (slot === undefined) throw new DriverError('command_failed', `A guest has ${NIC_SLOTS} network cards at most`);
  return { ...nic, slot };
}

/** The words for root ports and for what is in them. */
export function nicWords(nics: readonly GuestNic[], network: GuestNetwork): string[] {
  const ports = Array.from({ length: NIC_SLOTS }, (_, slot) => [
    '-device',
    `pcie-root-port,id=${portOf(slot)},chassis=${slot + 1},slot=${slot + 1}`,
  ]);
  return [...ports.flat(), ...slotted(nics).flatMap((nic) => cardWords(nic, network))];
}

/** A command line with these cards instead of those it has. */
export function withNics(argv: readonly string[], nics: readonly GuestNic[], network: GuestNetwork): string[] {
  const isOfCard = (flag: string | undefined, word: string | undefined) =>
    flag === '-netdev' || (flag === '-device' && word?.startsWith('virtio-net-pci,') === true);
  const others = argv.filter((word, at) => !isOfCard(word, argv[at + 1]) && !isOfCard(argv[at - 1], word));
  return [...others, ...slotted(nics).flatMap((nic) => cardWords(nic, network))];
}

/** Puts a card into a running QEMU. It is in: nothing. QMP: `netdev_add`, `device_add`, `announce-self`. */
export async function plugNic(qmp: QmpClient, nic: SlottedNic, network: GuestNetwork): Promise<void> {
  const { netdev, device } = namesOf(nic);
  if (await hasDevice(qmp, device)) return network.join([nic]);
  // Left by an attempt that was cut short.
  await tolerateRefusal(qmp.execute('netdev_del', { id: netdev }));
  await network.prepare([nic]);
  await qmp.execute('netdev_add', { ...network.netdev(nic), id: netdev });
  await network.join([nic]);
  const { mtu } = nic;
  await qmp.execute('device_add', {
    driver: 'virtio-net-pci',
    id: device,
    netdev,
    mac: nic.mac,
    bus: portOf(nic.slot),
    romfile: '',
    ...(mtu !== undefined && { host_mtu: mtu }),
  });
  await announce(qmp);
}

/**
 * Says on the guest's networks that it is here now, so that nobody looks for it where it was. Several times within two seconds: other hosts
 * may just be learning of this one. QMP: `announce-self`.
 */
export async function announce(qmp: QmpClient): Promise<void> {
  // Nothing is lost but time when it cannot: the guest's own frames say the same.
  await tolerateRefusal(qmp.execute('announce-self', { initial: 50, max: 550, rounds: 5, step: 100 }));
}

/**
 * Takes a card out of a running QEMU; the guest lets go of it first. It is out: nothing. Throws `command_failed` when the guest does
 * not let go in time. QMP: `device_del`, `netdev_del`.
 */
export async function unplugNic(qmp: QmpClient, nic: GuestNic, signal?: AbortSignal): Promise<void> {
  const { netdev, device } = namesOf(nic);
  if (await hasDevice(qmp, device)) {
    // Refused while it is on its way out already.
    await tolerateRefusal(qmp.execute('device_del', { id: device }));
    const timeout = AbortSignal.timeout(UNPLUG_TIMEOUT_MS);
    const either = signal ? AbortSignal.any([timeout, signal]) : timeout;
    await follow(
      qmp,
      ['DEVICE_DELETED'],
      async () => {
        if (!(await hasDevice(qmp, device))) return true;
        signal?.throwIfAborted();
        if (timeout.aborted) throw new DriverError('command_failed', `The guest does not let go of card ${nic.mac}`);
        return undefined;
      },
      either,
    );
  }
  await tolerateRefusal(qmp.execute('netdev_del', { id: netdev }));
}

async function hasDevice(qmp: QmpClient, device: string): Promise<boolean> {
  const found = await qmp.execute('qom-list', { path: '/machine/peripheral' });
  return found.some(({ name }) => name === device);
}

function cardWords(nic: SlottedNic, network: GuestNetwork): string[] {
  const { netdev, device } = namesOf(nic);
  const mtu = nic.mtu === undefined ? '' : `,host_mtu=${nic.mtu}`;
  return [
    ...['-netdev', JSON.stringify({ ...network.netdev(nic), id: netdev })],
    ...[
      '-device',
      `virtio-net-pci,netdev=${netdev},id=${device},mac=${nic.mac}${mtu},bus=${portOf(nic.slot)},romfile=`,
    ],
  ];
}

/** QEMU's names for a card and its other end. */
function namesOf({ mac }: GuestNic): { readonly netdev: string; readonly device: string } {
  const tail = mac.toLowerCase().replaceAll(':', '');
  return { netdev: `net-${tail}`, device: `nic-${tail}` };
}

function portOf(slot: number): string {
  return `spare${slot}`;
}
