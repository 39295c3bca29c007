/** The plane on the machine itself; needs root. */
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { chmod, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { type Base, SPACES_DIR } from './base.ts';
import { listenElsewhere } from './listen-elsewhere.ts';

/** Where QEMU opens taps. */
const TUN = '/dev/net/tun';

export interface RootedOptions {
  readonly why: string;
  /** Whom QEMU runs as; null: root. */
  readonly qemuUid: number | null;
  /** Another network namespace than our own, for tests: what a command there begins with. */
  readonly within?: readonly string[];
}

export function rootedBase({ why, qemuUid, within = [] }: RootedOptions): Base {
  const words = [...within, ...ofTheMachine()];
  return {
    kind: 'rooted',
    why,
    outside: () => words,
    spacesDir: () => SPACES_DIR,
    enter: (guests) => ['nsenter', `--net=${SPACES_DIR}/${guests}`, '--'],
    tapOwner: qemuUid,
    forwarded: null,
    start: async () => {
      if (qemuUid !== null) await openTun();
    },
    listen: (address, port) =>
      within.length === 0 ? listenHere(address, port) : listenElsewhere(words, address, port),
    stop: async () => undefined,
  };
}

/**
 * Names of network namespaces are mounts. Ours must be the machine's, not those of a namespace of mounts that goes with this process (a
 * systemd unit with a file system of its own has one, and `ip netns exec` makes one).
 */
function ofTheMachine(): string[] {
  try {
    const own = readlinkSync('/proc/self/ns/mnt');
    return own === readlinkSync('/proc/1/ns/mnt') ? [] : ['nsenter', '--mount=/proc/1/ns/mnt', '--'];
  } catch {
    return []; // some containers hide the first process: then ours is all that there is
  }
}

/**
 * As udev makes it wherever it runs. Nobody gets anything by it: a tap can be opened only by whom it was made for, and made only by who
 * may administer the network.
 */
async function openTun(): Promise<void> {
  const { mode } = await stat(TUN);
  if ((mode & 0o006) !== 0o006) await chmod(TUN, 0o666);
}

async function listenHere(address: string, port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, address);
  await once(server, 'listening');
  return server;
}
