/** What the networks of hosts have running beside guests. */
import { readdirSync, readFileSync } from 'node:fs';

/** Command lines of every dnsmasq with files below a folder. */
export function dnsmasqs(dir: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words[0] === 'dnsmasq' && words.some((word) => word.includes(`${dir}/`)) ? [words.join(' ').trim()] : [];
    } catch {
      return []; // no process, or none any more
    }
  });
}
