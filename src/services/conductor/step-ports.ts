/** The ports that steps are handed, over the bus, the image service and the record. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { schedulerContract } from '#contracts/scheduler.ts';
import type { Database } from '#db/database.ts';
import { findAllocation, findHost } from '#db/repo/hosts.ts';
import { abandonOperation, otherOpenOperations, resumeOperation } from '#db/repo/operations.ts';
import type { ImageClient } from '#http/image-client.ts';
import type { Ports } from '#operations/ports.ts';

/** Nova's `service_down_time`. */
const HOST_DOWN_AFTER_MS = 60_000;
const NAME = 'nova-conductor';

export function stepPorts(options: {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly images: ImageClient;
  readonly now: () => number;
}): Ports {
  const { db, rpc, images, now } = options;
  const conductor = rpc.client(conductorContract, NAME);
  const agents = new Map<string, Client<typeof computeContract>>();
  return {
    scheduler: rpc.client(schedulerContract, NAME),
    compute(host) {
      let agent = agents.get(host);
      if (!agent) {
        agent = rpc.client(computeContract, NAME, host);
        agents.set(host, agent);
      }
      return agent;
    },
    images: {
      ensure: (image, signal) =>
        images.ensure(
          {
            ...image.properties,
            id: image.id,
            name: image.name,
            owner: image.owner,
            visibility: 'private',
            disk_format: 'qcow2',
            container_format: 'bare',
            min_disk: image.minDiskGib,
            min_ram: image.minRamMib,
          },
          signal,
        ),
      remove: (id, signal) => images.remove(id, signal),
    },
    servers: {
      async hostOf(serverId) {
        const claim = await findAllocation(db.queries, serverId);
        if (claim) return claim.host;
        const row = await db.queries.selectFrom('servers').select('host').where('id', '=', serverId).executeTakeFirst();
        return row?.host ?? null;
      },
      async preempt(serverId, operationId, signal) {
        // Cancelled in the transaction that accepted the stronger operation; here they are only waited for. One that
        // got stuck is tried once more, so that it leaves nothing if it can, and given up when it is stuck again.
        const triedAgain = new Set<string>();
        for (let wait = 10; ; wait = Math.min(wait * 2, 250)) {
          const others = await otherOpenOperations(db.queries, serverId, operationId);
          if (others.length === 0) return;
          for (const { id, state } of others) {
            if (state === 'needs_attention') {
              if (triedAgain.has(id)) await db.transaction((trx) => abandonOperation(trx, id, now()));
              else await resumeOperation(db.queries, id, now());
              triedAgain.add(id);
            }
            await conductor.operationReady({ operationId: id });
          }
          await delay(wait, undefined, { signal });
        }
      },
      async isHostUp(host) {
        const row = await findHost(db.queries, host);
        return row !== undefined && now() - row.seen_at < HOST_DOWN_AFTER_MS;
      },
    },
  };
}
