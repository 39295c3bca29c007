/**
 * Where the bytes of a console come from. In one process it is the drivers of its hosts; on another machine it will be a
 * connection to the agent there.
 */
import type { Duplex } from 'node:stream';

export interface ConsoleStreams {
  /**
   * The screen (RFB) or the serial line of a running guest. A second one to the serial line ends the first. Throws
   * `instanceNotReady` for a guest without a process.
   */
  open(host: string, serverId: string, kind: 'vnc' | 'serial'): Promise<Duplex>;
}
