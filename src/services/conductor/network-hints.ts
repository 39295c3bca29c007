/** Tells hosts that what their networks shall be has changed. A hint that is lost costs half a minute, nothing else. */
import type { Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import type { Log } from '#observe/log.ts';

/** Never throws. */
export async function hintHosts(
  { rpc, log }: { readonly rpc: Rpc; readonly log: Log },
  by: string,
  hosts: readonly string[],
): Promise<void> {
  try {
    await Promise.all(hosts.map((host) => rpc.client(computeContract, by, host).networkChanged({})));
  } catch (error) {
    log.warn({ err: error }, 'hosts were not told that networks changed; they ask by themselves');
  }
}
