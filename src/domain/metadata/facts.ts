/** What a guest may know of itself: the same whether it reads its config drive or asks the metadata service. */

export interface GuestFacts {
  readonly id: string;
  readonly name: string;
  readonly hostname: string;
  readonly projectId: string;
  readonly imageId: string;
  readonly flavorName: string;
  readonly reservationId: string;
  readonly launchIndex: number;
  readonly availabilityZone: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Null without a key pair. */
  readonly key: { readonly name: string; readonly publicKey: string } | null;
  /** Base64, as it came; null without. */
  readonly userData: string | null;
  readonly securityGroups: readonly string[];
  readonly nics: readonly NicFacts[];
}

export interface NicFacts {
  readonly mac: string;
  /** Null for a card that is alone in QEMU's own network. */
  readonly port: PortFacts | null;
}

export interface PortFacts {
  readonly id: string;
  readonly networkId: string;
  readonly mtu: number;
  readonly addresses: readonly AddressFacts[];
}

export interface AddressFacts {
  readonly address: string;
  readonly version: 4 | 6;
  readonly prefix: number;
  readonly gateway: string | null;
  /** How the guest gets it; null: it sets it itself, from what is said here. */
  readonly by: 'dhcp' | 'slaac' | 'dhcpv6-stateful' | 'dhcpv6-stateless' | null;
  readonly dnsServers: readonly string[];
  readonly routes: readonly { readonly destination: string; readonly nexthop: string }[];
  /** What reaches it from outside; null for nothing. */
  readonly floating: string | null;
}
