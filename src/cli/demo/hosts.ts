/**
 * `micronova demo --hosts N`: a cloud of many machines on one. Each host is a network namespace with an agent of its own; the
 * control plane stands on a PostgreSQL and a RabbitMQ that are started for it. Guests move between the hosts, cold and live, and
 * a host dies.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { PostgresCluster } from '#local/postgres.ts';
import { Broker } from '#local/rabbitmq.ts';
import { hostTag, namesOf } from '#services/compute/network/names.ts';
import { CommandError } from '../command-error.ts';
import { down } from '../host.ts';
import { uploadImage } from '../image.ts';
import { OpenStack } from '../openstack.ts';
import { guestImagePath } from './guest-image.ts';
import { Namespaces } from './namespaces.ts';
import { quote, say, title } from './narrate.ts';
import { ServeProcess } from './process.ts';
import { act, createServer, deleteServer, type Guest, hostOf, loggedIn } from './servers.ts';
import { beginTalk, haveNetwork } from './talk.ts';
import { longestSilence } from './ticker.ts';

interface Host {
  readonly name: string;
  readonly namespace: string;
  readonly data: string;
  readonly process: ServeProcess;
}

/** Brings what the machine lacks; an installed package has no such script, and its operator has seen to it. */
const SETUP = new URL('../../../tools/setup.sh', import.meta.url).pathname;
const NEEDED = ['postgresql', 'rabbitmq-server', 'iproute2'];

/** One that they leave and one that they go to. */
const FEWEST = 2;
const MOST = 20;

/** Throws `CommandError` when anything is not as it should be, or by Ctrl-C. Leaves nothing behind. */
export async function demoOfHosts(count: number): Promise<void> {
  if (!Number.isSafeInteger(count) || count < FEWEST || count > MOST)
    throw new CommandError(`--hosts: a number from ${FEWEST} to ${MOST}`);
  if (existsSync(SETUP)) execFileSync(SETUP, ['--also', ...NEEDED], { stdio: 'inherit' });
  const interrupted = Promise.withResolvers<never>();
  interrupted.promise.catch(() => undefined); // nobody may be waiting for it
  const interrupt = () => interrupted.reject(new CommandError('interrupted'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  await onHosts(count, (work) => Promise.race([work, interrupted.promise]));
  say(styleText('green', 'No server, no process, no namespace is left.'));
}

/** `unless`: the work, unless it is interrupted. */
async function onHosts(count: number, unless: <T>(work: Promise<T>) => Promise<T>): Promise<void> {
  await using parts = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'micronova-demo-'));
  chmodSync(dir, 0o711); // QEMU and dnsmasq run as users of their own
  parts.defer(() => rmSync(dir, { recursive: true, force: true }));
  const network = new Namespaces();
  parts.defer(() => network.remove());
  title('A PostgreSQL, a RabbitMQ, and a network for them and the hosts');
  const database = parts.use(await PostgresCluster.create());
  const broker = parts.use(await Broker.start({ address: network.address }));
  const bus = broker.url();
  const control = await ServeProcess.start({
    name: 'the control plane',
    roles: 'api,conductor,scheduler',
    data: join(dir, 'control'),
    settings: { bus, database: database.url('postgres'), listen: `${network.address}:0`, host_name: 'control' },
  });
  parts.defer(() => control.process.stop());
  say(`nova-api, nova-conductor and nova-scheduler at ${control.said}`);
  const hosts: Host[] = [];
  for (let index = 1; index <= count; index++) {
    const name = `host-${index}`;
    const data = join(dir, name);
    const { address, enter, name: namespace } = network.add({ guests: namesOf(hostTag(data, name)).prefix });
    const settings = { bus, host_name: name, agent_listen: `${address}:0` };
    const { process } = await ServeProcess.start({ name, roles: 'compute', data, settings, enter });
    hosts.push({ name, namespace, data, process });
    say(`${name} at ${address}: nova-compute, with nothing but the bus and the image service`);
  }
  await unless(story(join(dir, 'control'), hosts, network));
}

async function story(control: string, hosts: readonly Host[], network: Namespaces): Promise<void> {
  const admin = await OpenStack.connect(control, 'micronova-admin');
  const user = await OpenStack.connect(control, 'micronova');
  const find = async (guest: Guest): Promise<Host> => {
    const name = await hostOf(admin, guest.id);
    const host = hosts.find((each) => each.name === name);
    if (!host) throw new Error(`server ${guest.id} is on ${name}`);
    return host;
  };
  const type = async (guest: Guest, command: string): Promise<string> => {
    using serial = await loggedIn((await find(guest)).data, guest);
    return (await serial.run(command)).output.trim();
  };

  title('1. Launch two servers');
  const imageId = await uploadImage(admin, guestImagePath(), { name: 'tinyguest', format: 'qcow2', isPublic: true });
  const [first, second] = [
    await createServer(user, { name: 'first', imageId }),
    await createServer(user, { name: 'second', imageId }),
  ];
  for (const guest of [first, second]) say(`ACTIVE on ${(await find(guest)).name} after ${guest.seconds.toFixed(2)} s`);
  quote('first', await type(first, 'echo "written before the move" > /root/file; cat /root/file'));

  title('2. Cold-migrate the first: shut off, copied from agent to agent, booted there');
  await act(admin, first.id, { migrate: null }, 'VERIFY_RESIZE');
  await act(user, first.id, { confirmResize: null }, 'ACTIVE');
  say(`it is on ${(await find(first)).name} now`);
  quote('first', await type(first, 'cat /root/file; cat /var/lib/cloud/boots'));

  title('3. Live-migrate the second while it ticks');
  const boot = await type(second, 'cat /proc/sys/kernel/random/boot_id');
  const talk = (await haveNetwork(admin, second.id))
    ? await beginTalk(type, { from: first, to: second, name: 'first' })
    : null;
  if (talk) say('the first sends it numbers over their network, between hosts a VXLAN');
  await type(second, '(while :; do echo tick > /dev/ttyS0; usleep 20000; done) > /dev/null 2>&1 & :');
  const logs = hosts.map(({ data }) => join(data, 'instances', second.id, 'console.log'));
  const silence = await longestSilence(logs, () =>
    act(admin, second.id, { 'os-migrateLive': { host: null, block_migration: 'auto' } }, 'ACTIVE'),
  );
  say(`it is on ${(await find(second)).name} now; the longest time without a tick was ${silence.toFixed(0)} ms`);
  await type(second, 'pkill -f "echo tick" || killall usleep; :').catch(() => '');
  const same = (await type(second, 'cat /proc/sys/kernel/random/boot_id')).includes(boot.trim());
  if (!same) throw new Error('the second server has booted, where it should have gone on');
  say('it never booted: its memory went with it');
  if (talk) say(`their connection is still open: ${await talk.goesOn()} numbers came, in order, none is missing`);

  title('4. The host of the second dies, and it is evacuated');
  const dead = await find(second);
  network.cutPower(dead.namespace);
  say(`${dead.name}: agent and guests killed`);
  await down(dead.name, { data: control });
  await act(admin, second.id, { evacuate: {} }, 'ACTIVE');
  say(`it is ACTIVE on ${(await find(second)).name}, from its image: what was on its disk died with the host`);

  title('5. Away with everything');
  await Promise.all([deleteServer(user, first.id), deleteServer(user, second.id)]);
  for (const host of hosts) if (host !== dead) await host.process.stop();
}
