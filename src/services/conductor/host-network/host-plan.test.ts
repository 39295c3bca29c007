/** The plan of a host is one that its agent takes, whatever a project has written into its networks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostNetwork } from '#contracts/host-network.ts';
import { insertPort, type NewPort } from '#db/repo/network/ports.ts';
import { newNetwork, newSubnet, PROJECT } from '#db/repo/network/testing/networks.ts';
import { addServer } from '#db/testing/server-row.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { checked } from '#schema/check.ts';
import { hostPlan } from './host-plan.ts';

/** The plan of a host with one server, which has one port of a network with these subnets. */
async function planned(wanted: Partial<NewPort>, ...subnets: readonly { cidr: string; gateway?: string }[]) {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    for (const { cidr, gateway } of subnets)
      await newSubnet(db, network, cidr, { enableDhcp: true, ...(gateway !== undefined && { gateway }) });
    const server = await addServer(db, { project_id: PROJECT, host: 'here' });
    const room = {
      server_id: server.id,
      held_for: 'server',
      host: 'here',
      vcpus: 1,
      memory_mib: 1,
      disk_gib: 1,
    } as const;
    await db.queries
      .insertInto('allocations')
      .values({ ...room, created_at: 1 })
      .execute();
    const port = await db.transaction((trx) =>
      insertPort(
        trx,
        {
          projectId: PROJECT,
          networkId: network.id,
          deviceId: server.id,
          deviceOwner: DEVICE_OWNERS.server,
          portSecurity: true,
          ...wanted,
        },
        1,
      ),
    );
    const plan = checked(HostNetwork, await hostPlan(db.queries, 'here'), 'plan');
    const [made] = plan.networks;
    assert.ok(made);
    return { port, network: made };
  } finally {
    await db.close();
  }
}

test('an allowed pair without a MAC is of the port’s own', async () => {
  const pairs = [
    { ip_address: '10.0.0.200', mac_address: '' },
    { ip_address: '10.1.0.0/16', mac_address: 'fa:16:3e:00:00:01' },
  ];
  const { port, network } = await planned({ allowedAddressPairs: pairs }, { cidr: '10.0.0.0/24' });
  assert.deepEqual(network.ports[0]?.allowedPairs, [
    { mac: port.mac_address, cidr: '10.0.0.200/32' },
    { mac: 'fa:16:3e:00:00:01', cidr: '10.1.0.0/16' },
  ]);
});

test('a subnet too small or too large to be served is not, and the others have theirs', async () => {
  const { network } = await planned(
    { fixedIps: [] },
    { cidr: '10.0.0.0/24' },
    { cidr: '10.0.1.0/30', gateway: '10.0.1.1' },
    { cidr: '10.0.2.0/31' },
    { cidr: '10.0.3.0/32', gateway: '10.0.3.0' },
    { cidr: '2001:db8::/64' },
    { cidr: '2001:db9::/48' },
    { cidr: '2001:db8:1::/128', gateway: '2001:db8:1::' },
  );
  const served = Object.fromEntries(network.subnets.map(({ cidr, dhcp }) => [cidr, dhcp?.server ?? null]));
  assert.match(served['10.0.0.0/24'] ?? '', /^10\.0\.0\./);
  assert.equal(served['10.0.1.0/30'], '10.0.1.2');
  assert.match(served['2001:db8::/64'] ?? '', /^2001:db8::/);
  assert.deepEqual([served['10.0.3.0/32'], served['2001:db8:1::/128'], served['2001:db9::/48']], [null, null, null]);
});
