/** Where the tunnels between hosts end. */
import { isIP } from 'node:net';
import { type Config, ConfigError, parseListen } from '#config/config.ts';

/** What cannot be reached from another machine. */
const ONLY_HERE = /^(127\.|0\.0\.0\.0$|::1?$)/;

/** The address that other hosts are told; null: there are no tunnels. Throws `ConfigError` for one that is said and is none. */
export function underlayAddress({
  network_address: said,
  agent_listen,
}: Pick<Config, 'network_address' | 'agent_listen'>): string | null {
  if (said !== '' && isIP(said) === 0) throw new ConfigError(`network_address: '${said}' is no IP address`);
  const address = said || parseListen(agent_listen, 'agent_listen').host;
  return isIP(address) === 0 || ONLY_HERE.test(address) ? null : address;
}
