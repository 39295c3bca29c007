/** Networks for tests: that which the project demo has from the beginning, and more of them, each with one subnet. */
import type { Database } from '#db/database.ts';
import { newNetwork, newSubnet } from '#db/repo/network/testing/networks.ts';
import type { Client } from './client.ts';

/** Answers the network's id; there is one of that name: that. */
export async function demoNetwork(db: Database, name: string, cidr: string): Promise<string> {
  const known = await db.queries.selectFrom('networks').select('id').where('name', '=', name).executeTakeFirst();
  if (known) return known.id;
  const project = await db.queries
    .selectFrom('projects')
    .select('id')
    .where('name', '=', 'demo')
    .executeTakeFirstOrThrow();
  const network = await newNetwork(db, { projectId: project.id, name });
  await newSubnet(db, network, cidr);
  return network.id;
}

/** Id of the one that a new cloud has; said by name, since a project with several has to say which. */
export async function privateNetwork(client: Client): Promise<string> {
  const { networks } = await client.ok<{ networks: { id: string }[] }>('GET', '/network/v2.0/networks?name=private');
  const [network] = networks;
  if (!network) throw new Error('there is no network called private');
  return network.id;
}
