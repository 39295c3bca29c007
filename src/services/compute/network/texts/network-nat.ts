/**
 * Layer 3 of a network's namespace: requests to the metadata service go to the host, each from the address of the port that it came
 * from; nothing else passes between the network and the host.
 */
import type { NetworkPlan } from '#contracts/host-network.ts';
import { BRIDGE, META, TABLE } from '../names.ts';
import { METADATA } from './bridge-rules.ts';
import { FROM, fromMark } from './port-marks.ts';
import { chain, type Ruleset } from './ruleset.ts';

export interface PortIdentity {
  readonly number: number;
  readonly address: string;
}

/** `service`: where the agent listens. */
export function networkNat(
  { ports }: NetworkPlan,
  identityOf: (portId: string) => PortIdentity,
  service: { readonly address: string; readonly port: number },
): Ruleset {
  const identities = ports.map(({ id }) => identityOf(id));
  return {
    family: 'ip',
    table: TABLE,
    sets: [
      {
        name: 'identities',
        kind: 'map',
        type: 'type mark : ipv4_addr;',
        elements: identities.map(({ number, address }) => `${fromMark(number)} : ${address}`),
      },
    ],
    chains: [
      ...chain(
        'prerouting',
        [
          `iifname "${BRIDGE}" ip daddr ${METADATA} meta mark & ${FROM} != 0 tcp dport 80 dnat to ${service.address}:${service.port}`,
        ],
        'type nat hook prerouting priority -100; policy accept;',
      ),
      ...chain(
        'postrouting',
        [`oifname "${META}" ct status dnat snat to meta mark & ${FROM} map @identities`],
        'type nat hook postrouting priority 100; policy accept;',
      ),
      ...chain(
        'forward',
        [
          `iifname "${BRIDGE}" oifname "${META}" ct status dnat ip daddr ${service.address} accept`,
          `iifname "${META}" oifname "${BRIDGE}" ct status dnat ct direction reply accept`,
          `iifname "${META}" drop`,
          `oifname "${META}" drop`,
        ],
        'type filter hook forward priority 10; policy accept;',
      ),
    ],
  };
}
