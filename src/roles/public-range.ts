/** The setting `public_cidr`. */
import { type Config, ConfigError } from '#config/config.ts';
import { type Cidr, parseCidr } from '#domain/network/cidr.ts';

/** The smallest range with a gateway, a router and a floating IP. */
const LONGEST_PREFIX = 29;

/** Null where there shall be none. Throws `ConfigError`. */
export function publicRange({ public_cidr: text }: Pick<Config, 'public_cidr'>): Cidr | null {
  if (text === '') return null;
  const cidr = parseCidr(text);
  if (cidr?.version !== 4 || cidr.prefix < 8 || cidr.prefix > LONGEST_PREFIX)
    throw new ConfigError(`public_cidr: '${text}' is no IPv4 range between /8 and /${LONGEST_PREFIX}`);
  return cidr;
}
