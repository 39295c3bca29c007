/**
 * `npm run docs:operations`: runs every operation on a real guest and writes docs/guide/operations.md with the traces. Needs
 * QEMU and the guest image; takes about a minute.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { OpenStack } from '#cli/openstack.ts';
import { openSerial } from '#cli/serial-console.ts';
import { loadConfig } from '#config/config.ts';
import { OPERATION_KINDS, type OperationKind } from '#domain/operation/operation.ts';
import { readLogs } from '#observe/log-reader.ts';
import { arrowsOf, drawTimeline } from '#observe/timeline.ts';
import { type Cloud, startCloud } from '../src/main.ts';
import { eventually } from '../test/eventually.ts';
import { operationsGuide } from './docs/operations-guide.ts';

const GUIDE = 'docs/guide/operations.md';
const PASSWORD = 'guided-tour';
const data = mkdtempSync(join(tmpdir(), 'micronova-tour-'));
const traces = new Map<OperationKind, string>();

let cloud: Cloud | undefined;
let user!: OpenStack;
let admin!: OpenStack;

try {
  await start({ reclaim_seconds: 3600, shelved_offload_seconds: -1 });
  const image = await addImage();
  const server = await launch(image);
  await step('changePassword', server, { changePassword: { adminPass: 'another-one' } });
  await step('createImage', server, { createImage: { name: 'snap' } });
  await step('createBackup', server, { createBackup: { name: 'backup', backup_type: 'daily', rotation: 1 } });
  await step('stop', server, { 'os-stop': null });
  await step('start', server, { 'os-start': null });
  await booted(server);
  await step('reboot', server, { reboot: { type: 'SOFT' } });
  await step('hardReboot', server, { reboot: { type: 'HARD' } });
  await step('pause', server, { pause: null });
  await step('unpause', server, { unpause: null });
  await step('suspend', server, { suspend: null });
  await step('resume', server, { resume: null });
  await booted(server);
  await step('rescue', server, { rescue: { rescue_image_ref: image } });
  await step('unrescue', server, { unrescue: null });
  await step('rebuild', server, { rebuild: { imageRef: image } });
  await step('forceStop', server, { 'os-stop': { type: 'HARD' } });
  await step('start', server, { 'os-start': null });
  await booted(server);
  await step('shelve', server, { shelve: null });
  await step('shelveOffload', server, { shelveOffload: null }, admin);
  await step('unshelve', server, { unshelve: null });
  await booted(server);
  await step('softDelete', server, null);
  await step('restore', server, { restore: null });
  await step('forceDelete', server, { forceDelete: null });
  const last = await launch(image);
  await cloud?.close({ stopGuests: false });
  await start({});
  await step('delete', last, null);
  const moving = await launch(image);
  await step('migrate', moving, { migrate: null }, admin);
  await booted(moving);
  await step('confirmResize', moving, { confirmResize: null });
  await step('resize', moving, { resize: { flavorRef: '84' } });
  await booted(moving);
  await step('revertResize', moving, { revertResize: null });
  await booted(moving);
  await step('liveMigrate', moving, { 'os-migrateLive': { host: null, block_migration: 'auto' } }, admin);
  await attachAndDetach(moving);
  await cloud?.db.queries
    .updateTable('hosts')
    .set({ forced_down: 1 })
    .where('name', '=', await hostOf(moving))
    .execute();
  await step('evacuate', moving, { evacuate: {} }, admin);
  const missing = OPERATION_KINDS.filter((kind) => !traces.has(kind));
  if (missing.length > 0) throw new Error(`the tour does not show ${missing}`);
  writeFileSync(GUIDE, operationsGuide(traces));
  process.stdout.write(`${GUIDE} written\n`);
} finally {
  await cloud?.close({ stopGuests: true });
  rmSync(data, { recursive: true, force: true });
}

async function start(settings: Readonly<Record<string, number>>): Promise<void> {
  cloud = await startCloud(loadConfig({ flags: { data, listen: '127.0.0.1:0', hosts: 2, ...settings } }));
  user = await OpenStack.connect(data, 'micronova');
  admin = await OpenStack.connect(data, 'micronova-admin');
}

async function hostOf(id: string): Promise<string> {
  const row = await cloud?.db.queries.selectFrom('servers').select('host').where('id', '=', id).executeTakeFirst();
  return row?.host ?? '';
}

async function addImage(): Promise<string> {
  const wanted = { name: 'tinyguest', disk_format: 'qcow2', container_format: 'bare', hw_qemu_guest_agent: 'yes' };
  const { body } = await user.request<{ id: string }>('POST', '/image/v2/images', { json: wanted });
  const headers = { 'content-type': 'application/octet-stream' };
  const stream = new Blob([readFileSync(guestImagePath())]).stream();
  await user.request('PUT', `/image/v2/images/${body.id}/file`, { stream, headers });
  return body.id;
}

async function launch(imageRef: string): Promise<string> {
  const server = { name: 'web', imageRef, flavorRef: '42', adminPass: PASSWORD, networks: 'auto' };
  const { body, requestId } = await user.request<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
    json: { server },
  });
  await ended('create', requestId);
  await booted(body.server.id);
  const console = await openSerial(join(data, 'instances', body.server.id, 'serial.sock'));
  await console.login(PASSWORD);
  await console.run('until grep -q qemu-ga /proc/[0-9]*/comm; do usleep 100000; done');
  console.close();
  return body.server.id;
}

/** The guest has come up; before, it would not hear the power button. */
async function booted(id: string): Promise<void> {
  const log = join(data, 'instances', id, 'console.log');
  const lastMark = () =>
    readFileSync(log, 'utf8')
      .match(/tinyguest: (READY|going down|userspace)/g)
      ?.at(-1);
  await eventually('the guest is up', async () => lastMark() === 'tinyguest: READY', { withinMs: 120_000 });
}

/** Asks for it (null: a deletion), and waits until it is done. */
async function step(kind: OperationKind, id: string, action: object | null, as = user): Promise<void> {
  const path = `/compute/v2.1/servers/${id}`;
  const { requestId } =
    action === null ? await as.request('DELETE', path) : await as.request('POST', `${path}/action`, { json: action });
  await ended(kind, requestId);
}

/** To a network of its own, and away from it again. */
async function attachAndDetach(id: string): Promise<void> {
  const make = async (what: string, json: object) =>
    (await user.request<Record<string, { id: string }>>('POST', `/network/v2.0/${what}s`, { json })).body[what]?.id;
  const network = await make('network', { network: { name: 'second' } });
  await make('subnet', { subnet: { network_id: network, ip_version: 4, cidr: '10.77.0.0/24' } });
  const interfaces = `/compute/v2.1/servers/${id}/os-interface`;
  const json = { interfaceAttachment: { net_id: network } };
  const attached = await user.request<{ interfaceAttachment: { port_id: string } }>('POST', interfaces, { json });
  await ended('attachInterface', attached.requestId);
  const port = attached.body.interfaceAttachment.port_id;
  await ended('detachInterface', (await user.request('DELETE', `${interfaces}/${port}`)).requestId);
}

/** Waits for the end of what a request began and keeps its trace. */
async function ended(kind: OperationKind, requestId: string): Promise<void> {
  const row = await eventually(
    `the end of ${kind}`,
    async () =>
      cloud?.db.queries
        .selectFrom('operations')
        .select(['kind', 'state', 'error'])
        .where('request_id', '=', requestId)
        .where('finished_at', 'is not', null)
        .executeTakeFirst(),
    { withinMs: 120_000 },
  );
  if (row.state !== 'done' || row.kind !== kind) throw new Error(`${kind}: ${row.kind} ${row.state} ${row.error}`);
  const logs = join(data, 'logs');
  const wholeTrace = async () => {
    const lines = await readLogs(logs, requestId);
    return lines.some(({ msg }) => msg === 'operation ended') ? lines : null;
  };
  const lines = await eventually(`the trace of ${kind}`, wholeTrace);
  if (!traces.has(kind)) traces.set(kind, drawTimeline(arrowsOf(lines)).join('\n'));
  process.stdout.write(`${kind}\n`);
}
