/** A rule as clients write it, checked, in one spelling. */
import { CloudError } from '#domain/errors.ts';
import { bitsOf, formatAddress, parseAddress } from '#domain/network/address.ts';
import { parseCidr } from '#domain/network/cidr.ts';

interface WantedRule {
  readonly direction: 'ingress' | 'egress';
  readonly ethertype?: string | null | undefined;
  readonly protocol?: string | number | null | undefined;
  readonly port_range_min?: number | string | null | undefined;
  readonly port_range_max?: number | string | null | undefined;
  readonly remote_ip_prefix?: string | null | undefined;
  readonly remote_group_id?: string | null | undefined;
}

/** Neutron's names. */
const NAMES: ReadonlySet<string> = new Set([
  'ah',
  'dccp',
  'egp',
  'esp',
  'gre',
  'icmp',
  'icmpv6',
  'igmp',
  'ipip',
  'ipv6-encap',
  'ipv6-frag',
  'ipv6-icmp',
  'ipv6-nonxt',
  'ipv6-opts',
  'ipv6-route',
  'ospf',
  'pgm',
  'rsvp',
  'sctp',
  'tcp',
  'udp',
  'udplite',
  'vrrp',
]);

const WITH_PORTS: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'sctp',
  'dccp',
  'udplite',
  '6',
  '17',
  '132',
  '33',
  '136',
]);
const ICMP: ReadonlySet<string> = new Set(['icmp', '1', 'icmpv6', 'ipv6-icmp', '58']);
const IPV6_ONLY: ReadonlySet<string> = new Set([
  'icmpv6',
  'ipv6-icmp',
  'ipv6-encap',
  'ipv6-frag',
  'ipv6-nonxt',
  'ipv6-opts',
  'ipv6-route',
  '58',
]);

/** Throws 400. */
export function ruleValues(body: WantedRule) {
  const protocol = protocolOf(body.protocol);
  const remoteCidr = prefixOf(body.remote_ip_prefix);
  const remoteGroupId = body.remote_group_id ?? null;
  if (remoteCidr !== null && remoteGroupId !== null)
    invalid('Only remote_ip_prefix or remote_group_id may be provided.');
  const ethertype: 'IPv4' | 'IPv6' = (body.ethertype ?? 'IPv4').toLowerCase() === 'ipv6' ? 'IPv6' : 'IPv4';
  const version = remoteCidr === null ? null : parseCidr(remoteCidr)?.version;
  if (version && version !== (ethertype === 'IPv6' ? 6 : 4))
    invalid(`Conflicting value ethertype ${ethertype} for CIDR ${remoteCidr}`);
  if (protocol !== null && IPV6_ONLY.has(protocol) && ethertype === 'IPv4')
    invalid(`Invalid ethertype ${ethertype} for protocol ${protocol}.`);
  const { min, max } = rangeOf(protocol, whole(body.port_range_min), whole(body.port_range_max));
  return { direction: body.direction, ethertype, protocol, portMin: min, portMax: max, remoteCidr, remoteGroupId };
}

function protocolOf(wanted: string | number | null | undefined): string | null {
  if (wanted === null || wanted === undefined || wanted === '') return null;
  const text = String(wanted).toLowerCase();
  if (text === 'any' || text === '-1') return null;
  const isNumber = /^[0-9]{1,3}$/.test(text) && Number(text) <= 255;
  if (!isNumber && !NAMES.has(text))
    invalid(
      `Security group rule protocol ${text} not supported. Only protocol values [${[...NAMES].join(', ')}] and integer representations [0 to 255] are supported.`,
    );
  // Neutron's older name for the same.
  return text === 'icmpv6' ? 'ipv6-icmp' : text;
}

/** As the client wrote it, with a prefix. */
function prefixOf(wanted: string | null | undefined): string | null {
  if (wanted === null || wanted === undefined || wanted === '') return null;
  const address = parseAddress(wanted);
  if (address) return `${formatAddress(address)}/${bitsOf(address.version)}`;
  if (!parseCidr(wanted)) invalid(`'${wanted}' is not a valid CIDR`);
  return wanted;
}

function whole(value: number | string | null | undefined): number | null {
  return value === null || value === undefined || Number(value) === -1 ? null : Number(value);
}

function rangeOf(protocol: string | null, min: number | null, max: number | null) {
  if (min === null && max === null) return { min, max };
  if (protocol === null) invalid('Must also specify protocol if port range is given.');
  if (ICMP.has(protocol)) {
    for (const [value, what] of [
      [min, 'port-range-min (type)'],
      [max, 'port-range-max (code)'],
    ] as const)
      if (value !== null && (value < 0 || value > 255))
        invalid(`Invalid value for ICMP ${what} ${value}. It must be 0 to 255.`);
    if (min === null)
      invalid(`ICMP code (port-range-max) ${max} is provided but ICMP type (port-range-min) is missing.`);
    return { min, max };
  }
  if (!WITH_PORTS.has(protocol)) invalid(`Port range cannot be specified for protocol ${protocol}.`);
  if (min === null || max === null || min < 0 || max < 0 || max > 65_535 || min > max)
    invalid('For TCP/UDP protocols, port_range_min must be <= port_range_max');
  return { min, max };
}

function invalid(reason: string): never {
  throw new CloudError('securityGroupRuleInvalid', { reason });
}
