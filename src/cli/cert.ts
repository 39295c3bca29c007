/**
 * `micronova cert`: certificates for the API, the broker and the database where there is no authority that makes them. The first one
 * makes an authority of one's own in the same folder; `openssl` does the work.
 *
 * A key is made under a name of its own, private from its first byte, and gets its place when its certificate is there. What is there
 * already stays.
 */
import { execFile } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CommandError } from './command-error.ts';

export interface CertOptions {
  readonly folder: string;
  /** Addresses and names by which it is reached. */
  readonly address: readonly string[];
  /** The system user whose program shows it; who runs this where not given. */
  readonly owner?: string;
  readonly renew?: boolean;
}

const run = promisify(execFile);
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-sha256'];
const AUTHORITY_DAYS = '3650';
/** Some clients refuse those that last longer. */
const DAYS = '825';

/** Makes `NAME.pem` and `NAME.key`, and `ca.pem` with `ca.key` before. Throws `CommandError` for what cannot be. */
export async function cert(name: string, options: CertOptions): Promise<void> {
  const { folder, address, renew = false } = options;
  if (!/^[a-z0-9][a-z0-9.-]*$/i.test(name) || name === 'ca')
    throw new CommandError(`'${name}' is no name for a certificate: letters, digits, dots and dashes, and not ca`);
  const strange = address.find((each) => isIP(each) === 0 && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(each));
  if (strange !== undefined) throw new CommandError(`'${strange}' is neither an address nor the name of a machine`);
  const owner = options.owner === undefined ? undefined : userOf(options.owner);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  if (!existsSync(join(folder, 'ca.pem'))) {
    // Nothing but other certificates can be made with it, and none that make more.
    const may = ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign,cRLSign'];
    await make(folder, 'ca', ['-days', AUTHORITY_DAYS, '-subj', '/CN=Micronova', ...extensions(may)]);
    say(`made ${join(folder, 'ca.pem')}, whom all programs of the cloud are to believe`);
    say(`      ${join(folder, 'ca.key')} makes certificates that they believe: keep it where nobody else comes`);
  }
  if (existsSync(join(folder, `${name}.pem`)) && !renew)
    return say(`${join(folder, `${name}.pem`)} is there already; --renew makes another`);
  const isFor = address.map((each) => (isIP(each) === 0 ? `DNS:${each}` : `IP:${each}`)).join(',');
  const by = ['-CA', join(folder, 'ca.pem'), '-CAkey', join(folder, 'ca.key'), '-days', DAYS, '-subj', `/CN=${name}`];
  const may = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth,clientAuth'];
  await make(folder, name, [...by, ...extensions([...may, `subjectAltName=${isFor}`])], owner);
  say(`made ${join(folder, `${name}.pem`)} for ${address.join(', ')}, good for ${DAYS} days`);
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

async function make(folder: string, name: string, words: readonly string[], owner?: Owner): Promise<void> {
  const dir = mkdtempSync(join(folder, '.new-'));
  try {
    const [key, pem] = [join(dir, 'key'), join(dir, 'pem')];
    await openssl(['req', '-x509', ...NEW_KEY, ...words, '-keyout', key, '-out', pem]);
    chmodSync(key, 0o600);
    chmodSync(pem, 0o644);
    if (owner) chownSync(key, owner.uid, owner.gid);
    renameSync(key, join(folder, `${name}.key`));
    renameSync(pem, join(folder, `${name}.pem`));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function openssl(words: readonly string[]): Promise<void> {
  try {
    await run('openssl', [...words]);
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') throw new CommandError('the program openssl is missing');
    throw new CommandError(`openssl: ${(stderr ?? String(error)).trim().split('\n').at(-1)}`);
  }
}

function extensions(lines: readonly string[]): string[] {
  return lines.flatMap((line) => ['-addext', line]);
}

function userOf(name: string): Owner {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${name}:`));
  if (line === undefined) throw new CommandError(`there is no user ${name} on this machine`);
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
