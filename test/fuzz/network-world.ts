/** The networks under fire: what every request can rely on, and a neighbour's that nobody else may see. */
import assert from 'node:assert/strict';

/** Never deleted. */
export interface SteadyNetworks {
  readonly external: string;
  readonly network: string;
  readonly subnet: string;
  readonly port: string;
  readonly router: string;
  readonly floatingIp: string;
  readonly securityGroup: string;
  readonly agent: string;
}

export interface NetworkCallers {
  get(who: 'admin' | 'demo', path: string): Promise<Response>;
  send(who: 'admin' | 'demo' | 'neighbour', method: string, path: string, body: unknown): Promise<Response>;
}

type Things = Readonly<Record<string, { readonly id: string; readonly name?: string }[]>>;

/** Lifts the quotas; demo's default networks are what is steady. */
export async function steadyNetworks(callers: NetworkCallers, demo: string): Promise<SteadyNetworks> {
  const all = { network: -1, subnet: -1, port: -1, router: -1, floatingip: -1, security_group: -1 };
  await callers.send('admin', 'PUT', `/network/v2.0/quotas/${demo}`, { quota: { ...all, security_group_rule: -1 } });
  const one = async (who: 'admin' | 'demo', path: string, key: string, name?: string) => {
    const things = (await (await callers.get(who, `/network/v2.0/${path}`)).json()) as Things;
    const found = things[key]?.find((each) => name === undefined || each.name === name);
    assert.ok(found, `${path} ${name}`);
    return found.id;
  };
  const made = async (path: string, key: string, wanted: object) => {
    const response = await callers.send('demo', 'POST', `/network/v2.0/${path}`, { [key]: wanted });
    const thing = ((await response.json()) as Record<string, { id: string }>)[key];
    assert.ok(thing, path);
    return thing.id;
  };
  const network = await one('demo', 'networks', 'networks', 'private');
  const external = await one('demo', 'networks', 'networks', 'public');
  const securityGroup = await made('security-groups', 'security_group', { name: 'steady' });
  return {
    external,
    network,
    subnet: await one('demo', 'subnets', 'subnets', 'private-subnet'),
    port: await made('ports', 'port', { network_id: network, name: 'steady' }),
    router: await one('demo', 'routers', 'routers', 'router1'),
    floatingIp: await made('floatingips', 'floatingip', { floating_network_id: external }),
    securityGroup,
    agent: await one('admin', 'agents', 'agents'),
  };
}

/** A network, a port and a group of the neighbour, all called by the secret; answers the network's id. */
export async function foreignNetwork(callers: NetworkCallers, secret: string): Promise<string> {
  const make = (path: string, body: object) => callers.send('neighbour', 'POST', `/network/v2.0/${path}`, body);
  const made = (await (await make('networks', { network: { name: secret, description: secret } })).json()) as {
    network: { id: string };
  };
  await make('ports', { port: { name: secret, network_id: made.network.id } });
  await make('security-groups', { security_group: { name: secret } });
  await make('routers', { router: { name: secret } });
  return made.network.id;
}
