/** `micronova doctor`: what this machine has, what it lacks, and what that means. */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify, styleText } from 'node:util';
import { loadConfig } from '#config/config.ts';
import type { Database } from '#db/database.ts';
import { CloudError } from '#domain/errors.ts';
import { formatCidr } from '#domain/network/cidr.ts';
import { qemuDriver } from '#services/compute/driver/qemu/qemu-driver.ts';
import { choosePlane } from '#services/compute/network/choose-plane.ts';
import { hostTag, namesOf, tagOf } from '#services/compute/network/names.ts';
import { rangeConflicts } from '#services/compute/network/range-conflicts.ts';
import type { FoundLink } from '#services/compute/network/texts/links.ts';
import { findUser } from '#services/compute/qemu-user.ts';
import { machineName } from '../roles/compute.ts';
import { publicRange } from '../roles/public-range.ts';
import { CommandError } from './command-error.ts';
import { type RecordOptions, withRecord } from './record.ts';

const run = promisify(execFile);

interface Finding {
  readonly level: 'ok' | 'note' | 'bad';
  readonly text: string;
}

/** Sets exit code 1 when something is missing that guests need. */
export async function doctor(options: RecordOptions): Promise<void> {
  const findings = [
    { level: 'ok', text: `Node ${process.versions.node}` } as const,
    await program('qemu-system-x86_64', ['--version'], 'runs the guests'),
    await program('qemu-img', ['--version'], 'makes disks'),
    await accelerator(options.data),
    ...runner(),
    await networks(options.data),
    ...(await ranges(options.data)),
    ...space(options.data),
    ...(await record(options)),
  ];
  for (const { level, text } of findings) {
    const mark = { ok: styleText('green', 'ok  '), note: styleText('yellow', 'note'), bad: styleText('red', 'bad ') }[
      level
    ];
    process.stdout.write(`${mark}  ${text}\n`);
  }
  if (findings.some(({ level }) => level === 'bad')) process.exitCode = 1;
}

async function program(name: string, args: readonly string[], purpose: string): Promise<Finding> {
  try {
    const { stdout } = await run(name, args);
    return { level: 'ok', text: `${name}: ${stdout.split('\n')[0]}` };
  } catch {
    return {
      level: 'bad',
      text: `${name} is missing; it ${purpose}. On Debian the package micronova brings it, in a clone 'npm run setup'.`,
    };
  }
}

/** Whom QEMU would run as; only root can choose. */
function runner(): Finding[] {
  if (process.geteuid?.() !== 0) return [];
  const { qemu_user: name } = loadConfig({ env: process.env });
  if (findUser(name)) return [{ level: 'ok', text: `QEMU runs as the user ${name}` }];
  return [
    {
      level: 'note',
      text: `there is no user ${name}, so QEMU runs as root; the package micronova adds it, in a clone 'npm run setup'`,
    },
  ];
}

/** How the networks of guests would be run: tried out, and taken away again. */
async function networks(dataDir: string): Promise<Finding> {
  const dir = mkdtempSync(join(tmpdir(), 'micronova-doctor-'));
  const { network: want } = loadConfig({ env: process.env });
  const plane = await choosePlane({ want, tag: tagOf(`doctor ${dataDir}`), dir, qemuUid: null });
  await plane.remove();
  rmSync(dir, { recursive: true, force: true });
  if (plane.kind !== 'none') return { level: 'ok', text: `networks work (${plane.kind}; ${plane.why})` };
  return { level: 'note', text: `each guest is alone in QEMU's user-mode network: ${plane.why}` };
}

/** Whether the machine has the range of the new cloud's external network already. An ordinary user's is not on the machine. */
async function ranges(dataDir: string): Promise<Finding[]> {
  const config = loadConfig({ env: process.env });
  const range = publicRange(config);
  if (process.geteuid?.() !== 0 || range === null) return [];
  try {
    const { stdout } = await run('ip', ['-json', 'address', 'show']);
    const { isOurs } = namesOf(hostTag(dataDir, machineName(config)));
    // Its own format.
    const links = JSON.parse(stdout) as FoundLink[];
    return rangeConflicts([formatCidr(range)], links, isOurs).map((text) => ({ level: 'note', text }));
  } catch {
    // Without the program there are no networks, which is said already.
    return [];
  }
}

async function accelerator(dataDir: string): Promise<Finding> {
  const driver = qemuDriver({ instancesDir: join(dataDir, 'instances') });
  try {
    const { accelerator: found } = await driver.capabilities();
    if (found === 'kvm') return { level: 'ok', text: 'KVM works' };
    return {
      level: 'note',
      text: `KVM does not work here (${kvmReason()}); guests are emulated, which is many times slower`,
    };
  } finally {
    await driver.close({ stopGuests: false });
  }
}

function kvmReason(): string {
  if (!existsSync('/dev/kvm')) return 'there is no /dev/kvm';
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/kvm may not be opened by this user';
  }
  return '/dev/kvm is there, but a test guest did not start with it';
}

function space(dataDir: string): Finding[] {
  const folder = existsSync(dataDir) ? dataDir : '.';
  const { bavail, bsize } = statfsSync(folder);
  const diskGib = (bavail * bsize) / 2 ** 30;
  const memoryMib = freemem() / 2 ** 20;
  return [
    { level: diskGib < 2 ? 'bad' : 'ok', text: `${diskGib.toFixed(0)} GiB of disk are free` },
    { level: memoryMib < 512 ? 'bad' : 'ok', text: `${memoryMib.toFixed(0)} MiB of memory are free` },
  ];
}

/** Whether the record can be read, where there is one, and what it does not know. */
async function record(options: RecordOptions): Promise<Finding[]> {
  try {
    return await withRecord(options, (db) => strays(db, join(options.data, 'instances')));
  } catch (error) {
    if (error instanceof CommandError) return [];
    if (error instanceof CloudError) return [{ level: 'bad', text: error.message }];
    throw error;
  }
}

/** Guests on disk that the record does not know: never removed by themselves. */
async function strays(db: Database, folder: string): Promise<Finding[]> {
  if (!existsSync(folder)) return [];
  const rows = await db.queries.selectFrom('servers').select('id').where('deleted_at', 'is', null).execute();
  const known = new Set(rows.map(({ id }) => id));
  return readdirSync(folder)
    .filter((name) => !known.has(name))
    .map((name) => ({
      level: 'note' as const,
      text: `${join(folder, name)} belongs to no server; look at it and remove it`,
    }));
}
