/** A claim's request as the filters see it: what it says, and what that means for the hosts there are now. */
import type { InputOf } from '#contracts/contract.ts';
import type { schedulerContract } from '#contracts/scheduler.ts';
import type { Queries } from '#db/database.ts';
import { hostsOfServers } from '#db/repo/hosts.ts';
import { groupPlacement } from './group-placement.ts';
import type { PlacementRequest } from './host-state.ts';
import { wantedSpecs } from './wanted-specs.ts';

export type ClaimRequest = InputOf<typeof schedulerContract.methods.claimHost>;

/** `lock`: nobody else places a server of its group until the transaction has ended. */
export async function placement(db: Queries, request: ClaimRequest, how?: 'lock'): Promise<PlacementRequest> {
  const { move, extraSpecs, differentHost = [], sameHost = [] } = request;
  return {
    ...request,
    group: await groupPlacement(db, request, how),
    leaving: move && !move.mayStay ? move.from : null,
    specs: wantedSpecs(extraSpecs),
    apartFrom: differentHost.length > 0 ? await hostsOfServers(db, differentHost) : null,
    togetherWith: sameHost.length > 0 ? await hostsOfServers(db, sameHost) : null,
  };
}
