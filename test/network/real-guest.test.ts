/**
 * A real guest on the network plane: QEMU opens the tap as the user that it runs as, and the tap moves into the network under it. It finds
 * address, metadata and neighbours by itself. Needs the guest image.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, copyFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { findUser } from '#services/compute/qemu-user.ts';
import { openSerial, type SerialConsole } from '../../src/cli/serial-console.ts';
import { eventually } from '../eventually.ts';
import { NOBODY } from '../ordinary-user.ts';
import { Bench, type Kind } from './bench.ts';
import { network, plan, port } from './plans.ts';
import { qmp } from './qmp.ts';

const PASSWORD = 'correct-horse';
const [card, second, neighbour] = [port('a', '10.1.0.5'), port('a2', '10.2.0.5'), port('b', '10.1.0.6')];
const wanted = plan([
  network('n1', '10.1.0', [card, neighbour], { names: [{ hostname: 'beta', addresses: ['10.1.0.6'] }] }),
  network('n2', '10.2.0', [second]),
]);

for (const kind of ['rooted', 'rootless'] as const) {
  test(`a real guest, ${kind}`, { timeout: 240_000 }, async () => {
    const user = kind === 'rooted' ? findUser('micronova-qemu') : { uid: NOBODY, gid: NOBODY };
    assert.ok(user, 'tools/setup.sh makes the user micronova-qemu');
    await using parts = new AsyncDisposableStack();
    const bench = parts.use(await Bench.open({ kind, ...(kind === 'rooted' && { qemuUid: user.uid }) }));
    await bench.plane.apply(wanted);
    const metadata = createServer((request, response) => {
      const who = bench.plane.identityOf(request.socket.remoteAddress ?? '');
      const isAsked = request.url === '/openstack/latest/meta_data.json' && who !== null;
      response.statusCode = isAsked ? 200 : 404;
      response.end(isAsked ? JSON.stringify({ uuid: who, hostname: 'alpha', admin_pass: PASSWORD }) : '');
    });
    metadata.listen(await bench.plane.metadataServer());
    parts.defer(() => void metadata.close());
    const beside = await bench.guest(wanted, neighbour.id);
    await beside.configure(24);

    const image = join(bench.files, 'disk.qcow2');
    copyFileSync(guestImagePath(), image);
    for (const each of [bench.files, image]) chownSync(each, user.uid, user.gid);
    const start = () => Machine.start(bench, kind, user, { [card.id]: card.mac });
    const machine = parts.use(await start());
    const console = await machine.login();
    assert.match((await console.run('ip -4 -o addr show dev eth0')).output, /10\.1\.0\.5\/24/);
    assert.match((await console.run('cat /sys/class/net/eth0/mtu')).output, /^1450/);
    assert.equal(
      (await console.run('cat /var/lib/cloud/instance-id')).output.trim(),
      card.id,
      'it is known by its port',
    );
    assert.ok(await beside.ping('10.1.0.5'));
    assert.equal((await console.run('ping -c 1 -W 2 10.1.0.6')).code, 0);
    assert.match((await console.run('nslookup beta.cloud.test 10.1.0.2')).output, /10\.1\.0\.6/);
    await bench.plane.attach(card.id);
    assert.ok(await beside.ping('10.1.0.5'), 'attached twice is attached once');

    await machine.plug(second.id, second.mac);
    const hasSecond = async () => (await console.run('ip -4 -o addr show dev eth1')).output.includes('10.2.0.5/24');
    await eventually('an address for the second card', hasSecond, { withinMs: 30_000 });
    await machine.unplug(second.id);
    await eventually('the second card is gone', async () => (await console.run('ip link show dev eth1')).code !== 0);

    console.close();
    await machine[Symbol.asyncDispose]();
    const again = parts.use(await start());
    const then = await again.login();
    assert.match((await then.run('ip -4 -o addr show dev eth0')).output, /10\.1\.0\.5\/24/);
    assert.ok(await beside.ping('10.1.0.5'));
    then.close();
  });
}

class Machine {
  readonly #bench: Bench;
  readonly #process: ChildProcess;

  private constructor(bench: Bench, process: ChildProcess) {
    this.#bench = bench;
    this.#process = process;
  }

  static async start(
    bench: Bench,
    kind: Kind,
    { uid, gid }: { readonly uid: number; readonly gid: number },
    cards: Readonly<Record<string, string>>,
  ): Promise<Machine> {
    const netdevs: string[] = [];
    for (const [index, [portId, mac]] of Object.entries(cards).entries()) {
      const tap = await bench.plane.tapFor(portId);
      netdevs.push('-netdev', `tap,id=n${index},ifname=${tap},script=no,downscript=no`);
      netdevs.push('-device', `virtio-net-pci,netdev=n${index},mac=${mac},romfile=`);
    }
    const own =
      kind === 'rooted' ? ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs'] : [];
    const [program = '', ...words] = [
      ...(await bench.plane.enter()),
      ...own,
      ...[
        'qemu-system-x86_64',
        '-nodefaults',
        '-no-user-config',
        '-accel',
        'tcg',
        '-display',
        'none',
        '-M',
        'q35',
        '-m',
        '128',
      ],
      ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
      ...['-chardev', 'socket,id=ser,path=serial.sock,server=on,wait=off', '-serial', 'chardev:ser'],
      ...['-qmp', 'unix:qmp.sock,server=on,wait=off', '-drive', 'file=disk.qcow2,if=virtio,format=qcow2'],
      ...[
        '-device',
        'pcie-root-port,id=spare0,chassis=1,slot=1',
        '-object',
        'rng-random,id=rng0,filename=/dev/urandom',
      ],
      ...['-device', 'virtio-rng-pci,rng=rng0', ...netdevs],
    ];
    const child = spawn(program, words, { cwd: bench.files, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const machine = new Machine(bench, child);
    const answers = () => machine.#qmp('query-status').catch(() => child.exitCode !== null);
    await eventually('QEMU', answers, { state: async () => said });
    assert.equal(child.exitCode, null, said);
    for (const portId of Object.keys(cards)) await bench.plane.attach(portId);
    return machine;
  }

  async login(): Promise<SerialConsole> {
    const console = await openSerial(join(this.#bench.files, 'serial.sock'));
    await console.login(PASSWORD);
    return console;
  }

  async plug(portId: string, mac: string): Promise<void> {
    const ifname = await this.#bench.plane.tapFor(portId);
    await this.#qmp('netdev_add', { type: 'tap', id: 'plugged', ifname, script: 'no', downscript: 'no' });
    await this.#bench.plane.attach(portId);
    await this.#qmp('device_add', {
      driver: 'virtio-net-pci',
      netdev: 'plugged',
      id: 'card',
      mac,
      bus: 'spare0',
      romfile: '',
    });
  }

  async unplug(portId: string): Promise<void> {
    await this.#qmp('device_del', { id: 'card' });
    const isGone = () =>
      this.#qmp('netdev_del', { id: 'plugged' }).then(
        () => true,
        () => false,
      );
    await eventually('QEMU lets go of the card', isGone);
    await this.#bench.plane.detach(portId);
  }

  #qmp(command: string, args: object = {}): Promise<unknown> {
    return qmp(join(this.#bench.files, 'qmp.sock'), command, args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }
}
