/** An ordinary user, whom root becomes in a test. */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync } from 'node:fs';
import { join } from 'node:path';

/** Is on every machine. */
export const NOBODY = 65_534;

/**
 * Words that make a command an ordinary user's, to whom `dir` is given. Who may open taps, as everywhere but on some machines of
 * ours, may do so.
 */
export function asNobody(dir: string): string[] {
  chownSync(dir, NOBODY, NOBODY);
  const tun = join(dir, 'tun');
  if (!existsSync(tun)) execFileSync('mknod', ['-m', '666', tun, 'c', '10', '200']);
  const program = `mount --bind ${tun} /dev/net/tun && exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups -- "$@"`;
  return ['unshare', '--mount', 'sh', '-c', program, 'sh'];
}
