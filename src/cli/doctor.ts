/** `micronova doctor`: what this machine has, what it lacks, and what that means. */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { promisify, styleText } from 'node:util';
import { loadConfig } from '#config/config.ts';
import { openSqlite } from '#db/sqlite.ts';
import { qemuDriver } from '#services/compute/driver/qemu/qemu-driver.ts';
import { findUser } from '#services/compute/qemu-user.ts';

const run = promisify(execFile);

interface Finding {
  readonly level: 'ok' | 'note' | 'bad';
  readonly text: string;
}

/** Sets exit code 1 when something is missing that guests need. */
export async function doctor(options: { readonly data: string }): Promise<void> {
  const findings = [
    { level: 'ok', text: `Node ${process.versions.node}` } as const,
    await program('qemu-system-x86_64', ['--version'], 'runs the guests'),
    await program('qemu-img', ['--version'], 'makes disks'),
    await accelerator(options.data),
    ...runner(),
    ...space(options.data),
    ...(await strays(options.data)),
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
    return { level: 'bad', text: `${name} is missing; it ${purpose}. 'npm run setup' installs it on Debian.` };
  }
}

/** Whom QEMU would run as; only root can choose. */
function runner(): Finding[] {
  if (process.geteuid?.() !== 0) return [];
  const { qemu_user: name } = loadConfig({ env: process.env });
  if (findUser(name)) return [{ level: 'ok', text: `QEMU runs as the user ${name}` }];
  return [{ level: 'note', text: `there is no user ${name}, so QEMU runs as root; 'npm run setup' adds it` }];
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

/** Guests on disk that the record does not know: never removed by themselves. */
async function strays(dataDir: string): Promise<Finding[]> {
  const path = join(dataDir, 'micronova.sqlite');
  const folder = join(dataDir, 'instances');
  if (!existsSync(path) || !existsSync(folder)) return [];
  const db = await openSqlite(path);
  try {
    const rows = await db.queries.selectFrom('servers').select('id').where('deleted_at', 'is', null).execute();
    const known = new Set(rows.map(({ id }) => id));
    return readdirSync(folder)
      .filter((name) => !known.has(name))
      .map((name) => ({
        level: 'note' as const,
        text: `${join(folder, name)} belongs to no server; look at it and remove it`,
      }));
  } finally {
    await db.close();
  }
}
