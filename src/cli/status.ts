/** `micronova status`: the cloud on one page. */
import { join } from 'node:path';
import { listHosts, NO_USAGE, usageByHost } from '#db/repo/hosts.ts';
import { recentOperations } from '#db/repo/operations.ts';
import { statusOf } from '#domain/instance/states.ts';
import { readForwards } from '#services/compute/network/forward-table.ts';
import { CommandError } from './command-error.ts';
import { OpenStack } from './openstack.ts';
import { type RecordOptions, withRecord } from './record.ts';
import { table } from './table.ts';

const UP_WITHIN_MS = 60_000;

export async function status(options: RecordOptions): Promise<void> {
  const out = process.stdout;
  await withRecord(options, async (db) => {
    out.write(`API      ${await reachability(options.data)}\n\n`);
    const usage = await usageByHost(db.queries);
    const hosts = (await listHosts(db.queries)).map((host) => {
      const used = usage.get(host.name) ?? NO_USAGE;
      const state = Date.now() - host.seen_at < UP_WITHIN_MS ? 'up' : 'down';
      return [
        host.name,
        state,
        host.enabled === 1 ? 'enabled' : 'disabled',
        `${used.vcpus}/${host.vcpus}`,
        `${used.memoryMib}/${host.memory_mib}`,
        host.hypervisor_type,
      ];
    });
    out.write(`${table(['HOST', 'STATE', 'SERVICE', 'VCPUS', 'MEMORY MiB', 'HYPERVISOR'], hosts)}\n`);
    const servers = await db.queries
      .selectFrom('servers')
      .selectAll()
      .where('deleted_at', 'is', null)
      .orderBy('created_at', 'desc')
      .limit(50)
      .execute();
    out.write(
      `${table(
        ['SERVER', 'NAME', 'STATUS', 'TASK', 'HOST'],
        servers.map((row) => [
          row.id,
          row.name,
          statusOf(row.vm_state, row.task_state),
          row.task_state ?? '-',
          row.host ?? '-',
        ]),
      )}\n`,
    );
    const forwards = await readForwards(join(options.data, 'network'));
    if (forwards.length > 0)
      out.write(
        `${table(
          ['FLOATING IP', 'PORT', 'IS HERE'],
          forwards.map(({ address, port, hostPort }) => [address, `${port}`, `127.0.0.1:${hostPort}`]),
        )}\n`,
      );
    const images = await db.queries.selectFrom('images').selectAll().orderBy('created_at', 'desc').limit(50).execute();
    out.write(
      `${table(
        ['IMAGE', 'NAME', 'STATUS', 'SIZE MiB'],
        images.map((row) => [
          row.id,
          row.name ?? '',
          row.status,
          row.size === null ? '-' : (row.size / 2 ** 20).toFixed(1),
        ]),
      )}\n`,
    );
    const open = await recentOperations(db.queries, { open: true, limit: 50 });
    out.write(
      table(
        ['OPERATION', 'KIND', 'STATE', 'SERVER'],
        open.map((row) => [row.id, row.kind, row.state, row.server_id]),
      ),
    );
  });
}

async function reachability(dataDir: string): Promise<string> {
  try {
    return `answers at ${(await OpenStack.connect(dataDir, 'micronova-admin')).url}`;
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}
