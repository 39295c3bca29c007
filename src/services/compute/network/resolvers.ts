/** Name servers that this machine asks, as far as they can be reached from a namespace of ours. */
import { readFile } from 'node:fs/promises';

/** The second is where systemd keeps those behind its own server, which is on the machine's loopback. */
const FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** IPv4 addresses; none where there is no file that has one. */
export async function resolversOf(files: readonly string[] = FILES): Promise<string[]> {
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => ''); // there need not be one
    const found = [...text.matchAll(/^\s*nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$/gm)].map(([, address = '']) => address);
    const reachable = found.filter((address) => !address.startsWith('127.'));
    if (reachable.length > 0) return reachable;
  }
  return [];
}
