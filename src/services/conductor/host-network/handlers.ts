/** What the networks of a host shall be, for its agent. */
import { createHash } from 'node:crypto';
import type { Handlers, Rpc } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { hostsOfNetworks } from '#db/repo/network/network-hosts.ts';
import type { Log } from '#observe/log.ts';
import { hintHosts } from '../network-hints.ts';
import { guestMetadata } from './guest-metadata.ts';
import { hostPlan } from './host-plan.ts';
import { claimRouters } from './router-plans.ts';

export function hostNetworkHandlers(
  { db, rpc, log }: { readonly db: Database; readonly rpc: Rpc; readonly log: Log },
  now: () => number,
): Pick<Handlers<typeof conductorContract>, 'hostNetwork' | 'guestMetadata'> {
  return {
    guestMetadata: async (asked) => ({ facts: await guestMetadata(db, asked) }),
    async hostNetwork({ host, revision: known, isJoining = false }) {
      const claimed = await db.commitGuarded((trx) => claimRouters(trx, host, now()));
      const plan = await hostPlan(db.queries, host);
      const revision = createHash('sha256').update(JSON.stringify(plan)).digest('base64url').slice(0, 22);
      if (revision === known) return { revision };
      if (isJoining || claimed.length > 0) {
        // They learn the newcomer's name, and where it is.
        const networkIds = plan.networks.map(({ id }) => id);
        const others = (await hostsOfNetworks(db.queries, networkIds)).filter((name) => name !== host);
        await hintHosts({ rpc, log }, 'nova-conductor', others);
      }
      return { revision, plan };
    },
  };
}
