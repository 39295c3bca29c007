/** The ports that steps are handed, over the bus, the image service and the record. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { schedulerContract } from '#contracts/scheduler.ts';
import type { Database } from '#db/database.ts';
import { allocationsOf, findAllocation, findHost, isUp } from '#db/repo/hosts.ts';
import { hostsOfNetworks } from '#db/repo/network/network-hosts.ts';
import { portsOfServers, releasePorts } from '#db/repo/network/server-ports.ts';
import { abandonOperation, otherOpenOperations, retryOperation } from '#db/repo/operations.ts';
import type { ImageClient } from '#http/image-client.ts';
import type { Log } from '#observe/log.ts';
import type { Ports } from '#operations/ports.ts';
import { hintHosts } from './network-hints.ts';

const NAME = 'nova-conductor';

export function stepPorts(options: {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly images: ImageClient;
  readonly log: Log;
  readonly now: () => number;
}): Ports {
  const { db, rpc, images, log, now } = options;
  const conductor = rpc.client(conductorContract, NAME);
  const scheduler = rpc.client(schedulerContract, NAME);
  /** Hosts that have networks of the server; before the work, so that one which has none of it afterwards is told, too. */
  const telling = async <T>(serverId: string, work: () => Promise<T>): Promise<T> => {
    const ports = (await portsOfServers(db.queries, [serverId])).get(serverId) ?? [];
    const hosts = await hostsOfNetworks(
      db.queries,
      ports.map(({ networkId }) => networkId),
    );
    const done = await work();
    await hintHosts({ rpc, log }, NAME, hosts);
    return done;
  };
  const agents = new Map<string, Client<typeof computeContract>>();
  return {
    scheduler: {
      claimHost: (input, options) => scheduler.claimHost(input, options),
      // Who gives room back has one place less: hosts forget who is not there any more.
      releaseHost: (input, options) => telling(input.serverId, () => scheduler.releaseHost(input, options)),
      settleMove: (input, options) => telling(input.serverId, () => scheduler.settleMove(input, options)),
      revertMove: (input, options) => telling(input.serverId, () => scheduler.revertMove(input, options)),
    },
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
      isActive: async (id) => (await images.find(id))?.status === 'active',
      backups: (of, signal) => images.backups(of, signal),
    },
    networks: {
      async release(serverId, portId) {
        await telling(serverId, () => db.commit((trx) => releasePorts(trx, serverId, now(), portId)));
      },
    },
    servers: {
      async hostOf(serverId) {
        const claim = await findAllocation(db.queries, serverId);
        if (claim) return claim.host;
        const row = await db.queries.selectFrom('servers').select('host').where('id', '=', serverId).executeTakeFirst();
        return row?.host ?? null;
      },
      async hostsOf(serverId) {
        const held = await allocationsOf(db.queries, serverId);
        const row = await db.queries.selectFrom('servers').select('host').where('id', '=', serverId).executeTakeFirst();
        return [...new Set([...held.map(({ host }) => host), ...(row?.host ? [row.host] : [])])];
      },
      async shelvedImageOf(serverId) {
        const row = await db.queries
          .selectFrom('servers')
          .select('shelved_image_id')
          .where('id', '=', serverId)
          .executeTakeFirst();
        return row?.shelved_image_id ?? null;
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
              else await retryOperation(db.queries, id, now());
              triedAgain.add(id);
            }
            await conductor.operationReady({ operationId: id });
          }
          await delay(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
        }
      },
      async isHostUp(host) {
        const row = await findHost(db.queries, host);
        return row !== undefined && isUp(row, now());
      },
    },
  };
}
