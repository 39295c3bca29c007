/**
 * Data folders that earlier releases left when their machines lost power are taken over: what was accepted happens, what there was is there,
 * and everything can be done with it. `make.ts` makes them.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { TestCloud } from '../cloud.ts';
import { RealServer } from '../e2e/real-server.ts';

const RELEASES = globSync(join(import.meta.dirname, '*.tar.gz')).toSorted();

for (const release of RELEASES)
  test(`from ${basename(release, '.tar.gz')}`, { timeout: 180_000 }, async () => {
    await using parts = new AsyncDisposableStack();
    const data = await unpacked(release, parts);
    const cloud = parts.use(new TestCloud(data, { driver: 'qemu', config: { shutdown_seconds: 1 } }, null));
    await cloud.start();
    const demo = await cloud.as('demo');
    const { servers } = await demo.ok<{ servers: { id: string; name: string }[] }>('GET', '/compute/v2.1/servers');
    assert.deepEqual(servers.map(({ name }) => name).toSorted(), ['web', 'young']);
    const find = (name: string) => RealServer.at(cloud, servers.find((each) => each.name === name)?.id ?? '');
    const [web, young] = [find('web'), find('young')];
    await young.is('ACTIVE');

    const shown = await web.is('SHUTOFF');
    assert.deepEqual([shown.key_name, shown.metadata], ['mine', { a: 'b' }]);
    const path = `${web.path}/os-instance-actions`;
    const { instanceActions } = await demo.ok<{ instanceActions: { action: string }[] }>('GET', path);
    const actions = instanceActions.map(({ action }) => action);
    for (const action of ['create', 'createImage']) assert.ok(actions.includes(action), actions.join());
    const { images } = await demo.ok<{ images: Image[] }>('GET', '/image/v2/images');
    assert.deepEqual(images.map(({ name, status }) => `${name} ${status}`).toSorted(), ['empty active', 'snap active']);

    await web.act({ 'os-start': null });
    await web.act({ createImage: { name: 'again' } });
    await web.act({ pause: null });
    await web.act({ unpause: null });
    await web.act({ reboot: { type: 'HARD' } });
    await web.act({ resize: { flavorRef: '84' } });
    await web.act({ confirmResize: null });
    await web.act({ shelve: null });
    await web.is('SHELVED_OFFLOADED');
    await web.act({ unshelve: null });
    await web.is('ACTIVE');
    const fromSnapshot = await RealServer.launch(cloud, images.find(({ name }) => name === 'snap')?.id ?? '');
    for (const server of [web, young, fromSnapshot]) await server.act({ forceDelete: null });
  });

interface Image {
  readonly id: string;
  readonly name: string;
  readonly status: string;
}

/** The data folder as if it had always been where it is now: guests' files name each other by whole paths. */
async function unpacked(release: string, parts: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'micronova-upgrade-'));
  chmodSync(folder, 0o711); // QEMU may run as a user of its own
  parts.defer(() => rm(folder, { recursive: true, force: true }));
  execFileSync('tar', ['-xzf', release, '-C', folder]);
  const data = join(folder, 'data');
  for (const file of globSync(join(data, 'instances/*/spec.json'))) {
    const spec = readFileSync(file, 'utf8');
    const { base, baseFormat } = JSON.parse(spec).disk;
    const here = join(dirname(file), basename(base));
    writeFileSync(file, spec.replaceAll(base, here));
    execFileSync('qemu-img', ['rebase', '-u', '-b', here, '-F', baseFormat, join(dirname(file), 'disk.qcow2')]);
  }
  return data;
}
