/**
 * The network port of a compute host: makes the namespaces, bridges, taps and rules that a plan asks for, and nothing else. Guests do
 * not depend on this process: what it has made works on while it is away.
 *
 * Implementations: `linux-plane.ts` (rooted and rootless) and `no-plane.ts` (QEMU's user networking has to do).
 */
import type { Server } from 'node:net';
import type { HostNetwork } from '#contracts/host-network.ts';

/** A way from the machine's loopback to a port of a floating IP; only where the plane has no address on the machine. */
export interface Forward {
  readonly address: string;
  readonly port: number;
  /** On 127.0.0.1 of the machine. */
  readonly hostPort: number;
}

/** See the head of this file. Calls are serialised; each may be repeated. */
export interface NetworkPlane {
  readonly kind: 'rooted' | 'rootless' | 'none';
  /** Why this kind, in words for people. */
  readonly why: string;
  /** What a QEMU's command line begins with, so that it finds its taps; it has no other network. */
  enter(): Promise<readonly string[]>;
  /** Takes over what an earlier process has left, and makes what does not depend on a plan. Before everything else. */
  recover(): Promise<void>;
  /**
   * Makes the host so, and removes what is not in the plan. Rejects with `NetworkError` when some of it failed; the rest is done then, and
   * the next call tries again.
   */
  apply(plan: HostNetwork): Promise<void>;
  /**
   * A fresh tap for a port of the plan, whose name it answers: QEMU opens it (`script=no,downscript=no`) where `enter` leads. An older one is
   * gone.
   */
  tapFor(portId: string): Promise<string>;
  /**
   * Once QEMU has opened the tap: puts it into its network. There already: nothing. Rejects where the plan does not have the port. `arrived`:
   * the guest has brought TCP connections from another host; for a minute, what others send on them passes for answers.
   */
  attach(portId: string, how?: { readonly arrived?: boolean }): Promise<void>;
  /** The tap goes. Absent: nothing. */
  detach(portId: string): Promise<void>;
  /** The port that speaks to the metadata service from this address; null: nobody does. */
  identityOf(address: string): string | null;
  /** Where guests' requests to 169.254.169.254:80 arrive: listens already, for one `http.Server` to take. Once per process; resolves when there
   * is a network. */
  metadataServer(): Promise<Server>;
  /** What of the machine stands in the way of the last plan, in words for people; that is not in `apply`'s power. */
  conflicts(): readonly string[];
  /** Empty where floating IPs are reached by their own address. */
  forwards(): readonly Forward[];
  /** Lets go; everything that guests need stays. */
  close(): Promise<void>;
  /** Nothing of this plane is left on the machine. Guests lose their network. */
  remove(): Promise<void>;
}
