/**
 * The EC2 tree of metadata, for guests that know no other. Source: Nova "Metadata", section on the EC2-compatible interface.
 */
import type { GuestFacts } from './facts.ts';
import type { MetadataFiles } from './openstack.ts';

export const EC2_VERSIONS = ['1.0', '2007-01-19', '2007-12-15', '2008-02-01', '2009-04-04', 'latest'] as const;

/** The files below one version, by path: `meta-data/…` and `user-data`. */
export function ec2Files(facts: GuestFacts): MetadataFiles {
  const { key, userData } = facts;
  const addresses = facts.nics.flatMap(({ port }) => port?.addresses ?? []).filter(({ version }) => version === 4);
  const local = addresses[0]?.address ?? '';
  const publicAddress = addresses.find(({ floating }) => floating !== null)?.floating ?? '';
  return {
    'meta-data/ami-id': facts.imageId,
    'meta-data/ami-launch-index': String(facts.launchIndex),
    'meta-data/hostname': facts.hostname,
    'meta-data/instance-action': 'none',
    'meta-data/instance-id': `i-${facts.id.slice(0, 8)}`,
    'meta-data/instance-type': facts.flavorName,
    'meta-data/local-hostname': facts.hostname,
    'meta-data/local-ipv4': local,
    'meta-data/placement/availability-zone': facts.availabilityZone,
    'meta-data/public-hostname': facts.hostname,
    'meta-data/public-ipv4': publicAddress,
    'meta-data/reservation-id': facts.reservationId,
    'meta-data/security-groups': facts.securityGroups.join('\n'),
    ...(key && {
      'meta-data/public-keys/0/openssh-key': key.publicKey,
    }),
    ...(userData !== null && { 'user-data': { base64: userData } }),
  };
}
