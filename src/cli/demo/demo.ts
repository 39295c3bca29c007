/**
 * `micronova demo`: the main job, for real. A guest is launched and written to, its disk is snapshotted while it runs
 * and goes on writing, and a second guest boots from the snapshot with the data of that moment in it.
 *
 * It is a client like any other: the HTTP API for everything, and the guests' serial consoles to type on.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { loadConfig } from '#config/config.ts';
import { startCloud } from '../../main.ts';
import { CommandError } from '../command-error.ts';
import { uploadImage } from '../image.ts';
import { OpenStack } from '../openstack.ts';
import { guestImagePath } from './guest-image.ts';
import { serveInBackground } from './keep.ts';
import { quote, say, title } from './narrate.ts';
import { printTimeline } from './print-timeline.ts';
import { createServer, deleteServer, type Guest, loggedIn, snapshotServer } from './servers.ts';

export interface DemoOptions {
  readonly data?: string;
  readonly keep?: boolean;
}

const BEFORE = '/root/before-the-snapshot';
const AFTER = '/root/after-the-snapshot';
const FILL_MIB = 48;

/** Throws `CommandError` when anything is not as it should be. */
export async function demo(options: DemoOptions): Promise<void> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), 'micronova-demo-'));
  const config = loadConfig({ flags: { data, listen: '127.0.0.1:0' }, env: process.env });
  const cloud = await startCloud(config);
  const isKept = options.keep ?? false;
  let isTold = false;
  try {
    title(`The cloud is up at ${cloud.url} (guests run with ${accelerators[cloud.accelerator] ?? cloud.accelerator})`);
    await story(data, isKept);
    isTold = true;
  } finally {
    await cloud.close({ stopGuests: !(isTold && isKept) });
    if (options.data === undefined && !(isTold && isKept)) rmSync(data, { recursive: true, force: true });
    if (!isTold && options.data === undefined) process.stderr.write("For its files run it again with '--data DIR'.\n");
  }
  if (isKept) await keep(data, cloud.url);
}

const accelerators: Readonly<Record<string, string>> = {
  kvm: 'KVM',
  tcg: 'TCG: emulated, since KVM does not work here',
};

async function story(data: string, keep: boolean): Promise<void> {
  const admin = await OpenStack.connect(data, 'micronova-admin');
  const user = await OpenStack.connect(data, 'micronova');

  title('1. An image for Glance');
  const imageId = await uploadImage(admin, guestImagePath(), { name: 'tinyguest', format: 'qcow2', isPublic: true });

  title('2. Launch: client → nova-api → conductor → scheduler → compute → QEMU');
  const first = await createServer(user, { name: 'first', imageId });
  say(`server ${first.id} is ACTIVE after ${first.seconds.toFixed(2)} s; its boot takes a moment more`);
  await printTimeline(data, first.requestId);

  title('3. Something to remember');
  const before = await typeInto(data, first, async (run) => {
    await run(`echo "written by $(hostname) before the snapshot" > ${BEFORE}`);
    await run(`dd if=/dev/urandom of=/root/data bs=1M count=${FILL_MIB} 2>/dev/null; sync`);
    return run(`cat ${BEFORE}; md5sum /root/data; cut -d. -f1 /proc/uptime`);
  });
  quote('first', before);

  title('4. Snapshot while it runs, and goes on writing');
  const snapshot = await snapshotServer(user, first.id, 'demo-snapshot', async () => {
    await typeInto(data, first, (run) => run(`echo "too late for the snapshot" > ${AFTER}; rm ${BEFORE}; sync`));
  });
  say(`image ${snapshot.imageId} is active after ${snapshot.seconds.toFixed(2)} s`);
  await printTimeline(data, snapshot.requestId);
  quote('first', await typeInto(data, first, (run) => run(`ls /root; cut -d. -f1 /proc/uptime`)));
  say('its uptime goes on, so it was never restarted; what it removed and wrote meanwhile is its own affair');

  title('5. A second server from the snapshot');
  const second = await createServer(user, { name: 'second', imageId: snapshot.imageId });
  const found = await typeInto(data, second, (run) => run(`cat ${BEFORE}; md5sum /root/data; cat ${AFTER} 2>&1`));
  quote('second', found);
  verify(before, found);
  say(
    styleText(
      'green',
      'The second guest has what the first wrote before the snapshot, and nothing of what came after.',
    ),
  );

  if (keep) return;
  title('6. Away with both');
  await Promise.all([deleteServer(user, first.id), deleteServer(user, second.id)]);
  say('no process, no file, no room on the host is left of them');
}

function verify(before: string, found: string): void {
  const [sentence, sum] = before.split('\n');
  if (!sentence || !sum || !found.includes(sentence))
    throw new CommandError('the second guest does not have the sentence');
  if (!found.includes(sum)) throw new CommandError('the second guest does not have the same data');
  if (found.includes('too late')) throw new CommandError('the second guest has data from after the snapshot');
}

type Run = (command: string) => Promise<string>;

async function typeInto<Result>(data: string, guest: Guest, work: (run: Run) => Promise<Result>): Promise<Result> {
  using serial = await loggedIn(data, guest);
  return await work(async (command) => (await serial.run(command)).output.trim());
}

async function keep(data: string, url: string): Promise<void> {
  const pid = await serveInBackground(data, new URL(url).host);
  title('The cloud stays up, in a process of its own; the guests did not notice');
  say(`API:         ${url}`);
  say(
    `credentials: . ${join(data, 'openrc')}    (or OS_CLIENT_CONFIG_FILE=${join(data, 'clouds.yaml')} OS_CLOUD=micronova)`,
  );
  say('then:        MICRONOVA_USER=demo . …/openrc; openstack server list; openstack console log show first');
  say(`what is on:  bin/micronova status --data ${data}`);
  say(`its end:     kill ${pid}    (guests included; then the folder may be removed)`);
}
