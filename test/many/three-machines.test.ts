/**
 * The guide to many machines, followed to the letter: its blocks are run on three machines with systemd, each with files and a network of
 * its own, from the package to a server that moves while it runs. Then what the guide says of restarts and of the end.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { Namespaces } from '../../src/cli/demo/namespaces.ts';
import { guestProcesses } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { type Block, blocksOf } from './guide.ts';
import { Machine } from './machine.ts';

const GUIDE = 'docs/guide/many-machines.md';
/** As the guide has it: the machines' addresses are .11, .12 and .13. */
const NETWORK = '192.0.2';
const NAMES = ['control', 'host-a', 'host-b'] as const;
type Name = (typeof NAMES)[number];

/** What a machine has before the guide begins: the package and an image in `/root`, and a way in for `control`. */
const PREPARE: Readonly<Record<Name, string>> = {
  control: `
    cp $dir/../*.deb $dir/../guest.qcow2 $root/root/
    rm -rf $root/root/.ssh; mkdir -m 700 $root/root/.ssh
    cp $dir/../key $root/root/.ssh/id_ed25519; cp $dir/../known_hosts $root/root/.ssh/
    rm -rf $root/etc/postgresql $root/var/lib/postgresql $root/etc/postgresql-common/createcluster.d/micronova.conf
    rm -rf $root/var/lib/rabbitmq/mnesia $root/etc/rabbitmq/rabbitmq.conf
    install -d -o postgres -g postgres $root/etc/postgresql $root/var/lib/postgresql`,
  'host-a': host(),
  'host-b': host(),
};

/** The last words of the services, and what they logged as worse than news. */
const COMPLAINTS = `
  journalctl --quiet --no-pager --lines=20 --unit 'micronova-*' --output short-unix || :
  grep -h -E '"level":"(warn|error)' /var/lib/micronova/*/logs/*.log 2> /dev/null | tail -n 20 || :`;

/** Says the status of an answer, or why there is none. */
const ASK = `python3 - << 'END'
import ssl, urllib.request
try:
    context = ssl.create_default_context(cafile='CA' or None)
    print(urllib.request.urlopen('URL', context=context, timeout=5).status)
except Exception as error:
    print('no:', error)
END`;

/** Asks as a load balancer does, the one and, where that does not answer, the other; says how often that was answered, and how often not. */
const ASK_EITHER = `python3 - << 'END'
import os, ssl, urllib.request
context = ssl.create_default_context(cafile='/etc/micronova/tls/ca.pem')
def answers(port):
    try:
        return urllib.request.urlopen(f'https://192.0.2.11:{port}/identity/v3', context=context, timeout=5).status == 200
    except OSError:
        return False
counts = [0, 0]
while not os.path.exists('/run/enough'):
    counts[0 if answers(8774) or answers(8775) else 1] += 1
print(*counts)
END`;

/** Run by the guests when they boot for the first time. What the one counts the other tells its console. */
const TALK = `#!/bin/sh
(n=0; while n=$((n+1)); do echo $n; usleep 50000; done | nc -l -p 5000) > /dev/null 2>&1 &
`;
const HEAR = `#!/bin/sh
mkfifo /run/quiet; sleep 100000 > /run/quiet &
(until nc talker 5000; do sleep 1; done < /run/quiet | while read -r n; do echo "heard $n" > /dev/ttyS0; done) 2> /dev/null &
`;

const dir = mkdtempSync(join(tmpdir(), 'micronova-machines-'));
const machines = new Map<string, Machine>();
const cleanUp = new AsyncDisposableStack();
const blocks = blocksOf(GUIDE);
const left = leftovers();

before(async () => {
  cleanUp.defer(() => rmSync(dir, { recursive: true, force: true }));
  const network = new Namespaces({ among: NETWORK });
  cleanUp.defer(() => network.remove());
  execFileSync(process.execPath, ['tools/package/deb.ts', dir]);
  execFileSync('cp', [guestImagePath(), join(dir, 'guest.qcow2')]);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'control', '-f', join(dir, 'key')]);
  execFileSync('dropbearkey', ['-t', 'ed25519', '-f', join(dir, 'host-key')], { stdio: 'ignore' });
  const [publicKey] =
    /^ssh-ed25519 \S+/m.exec(execFileSync('dropbearkey', ['-y', '-f', join(dir, 'host-key')], { encoding: 'utf8' })) ??
    [];
  execFileSync('sh', ['-c', `echo '${NETWORK}.12,${NETWORK}.13 ${publicKey}' > known_hosts`], { cwd: dir });
  await Promise.all(
    NAMES.map(async (name) => {
      const { name: namespace } = network.add();
      const own = join(dir, name);
      execFileSync('mkdir', [own]);
      const machine = await Machine.boot({ name, namespace, dir: own, prepare: PREPARE[name] });
      cleanUp.defer(() => machine.close());
      machines.set(name, machine);
    }),
  );
  // As Debian's packages have it where the administrator did not say otherwise.
  await on('control').run(
    'pg_createcluster 15 main && systemctl restart postgresql && systemctl restart rabbitmq-server',
  );
});

after(async () => {
  await cleanUp.disposeAsync();
  assert.deepEqual(leftovers(), left, 'nothing is left on this machine');
});

describe('three machines, set up as the guide says', { timeout: 600_000 }, () => {
  test('from the package to a server that moves while it runs', async () => {
    const steps = blocks.filter(({ section }) => /^\d\. /.test(section));
    assert.ok(steps.length >= 8, 'the guide has its blocks');
    let said = '';
    for (const block of steps) said = await follow(block);
    // The last table is that of `server show`.
    const [, now, status] = /^.*\| OS-EXT-SRV-ATTR:host +\| (\S+).*\| status +\| (\S+)/s.exec(said) ?? [];
    assert.equal(status, 'ACTIVE');
    const moves = await admin(
      'openstack server migration list -f value -c Status -c "Source Compute" -c "Dest Compute"',
    );
    assert.match(moves, new RegExp(`^(?!${now})host-[ab] ${now} completed$`, 'm'), 'it moved to where it is now');
  });

  test('servers of one network speak across the machines, and go on while one of them moves', async (t) => {
    const kinds = NAMES.slice(1).map((name) =>
      on(name).run('grep -h -o \'"network":.*"networks"\' /var/lib/micronova/compute/logs/*.log | tail -n 1'),
    );
    t.diagnostic((await Promise.all(kinds)).join(' '));
    await on('control').run(`cat > /root/talk << 'END'\n${TALK}END\ncat > /root/hear << 'END'\n${HEAR}END`);
    const create =
      'openstack server create --image tinyguest --flavor m1.micro --network private --wait -f value -c id';
    const talker = (await user(`${create} --user-data /root/talk talker`)).trim();
    const listener = (await user(`${create} --user-data /root/hear --hint different_host=${talker} listener`)).trim();
    const hostOf = async (id: string) =>
      (await admin(`openstack server show ${id} -f value -c OS-EXT-SRV-ATTR:host`)).trim();
    assert.notEqual(await hostOf(talker), await hostOf(listener));
    const addresses = () => user('openstack server list -f value -c Name -c Networks --sort-column Name');
    const before = await addresses();
    const heard = async () => {
      const said = await user('openstack console log show listener');
      return [...said.matchAll(/^heard (\d+)\r?$/gm)].map(([, n]) => Number(n));
    };
    const goesOn = async () => {
      const last = (await heard()).at(-1) ?? 0;
      await eventually('more is heard', async () => ((await heard()).at(-1) ?? 0) > last + 10, { withinMs: 60_000 });
    };
    await goesOn();
    for (const id of [talker, listener]) {
      const from = await hostOf(id);
      await admin(`openstack server migrate --live-migration --wait ${id}`);
      assert.notEqual(await hostOf(id), from);
      await goesOn();
    }
    const numbers = await heard();
    assert.deepEqual(
      numbers,
      Array.from(numbers, (_, index) => (numbers[0] ?? 0) + index),
      'in order, none lost',
    );
    assert.equal(await addresses(), before);
    await user('openstack server delete --wait talker listener');
  });

  test('keys and passwords are for those who need them', async () => {
    const modes = await on('control').run('cd /etc/micronova; stat -c "%n %a %U:%G" micronova.toml tls/*.key');
    assert.deepEqual(modes.trim().split('\n'), [
      'micronova.toml 640 root:micronova',
      'tls/api.key 600 micronova:micronova',
      'tls/broker.key 600 rabbitmq:rabbitmq',
      'tls/ca.key 600 root:root',
      'tls/database.key 600 postgres:postgres',
    ]);
    assert.equal(
      (await on('host-a').run('stat -c "%a %U:%G" /etc/micronova/micronova.toml')).trim(),
      '640 root:micronova',
    );
  });

  test('who does not speak TLS, or does not believe the authority, gets nowhere', async () => {
    const ask = (url: string, ca = '') => on('host-a').run(ASK.replace('URL', url).replace('CA', ca));
    assert.match(await ask('https://192.0.2.11:8774/identity/v3', '/etc/micronova/tls/ca.pem'), /^200/);
    assert.match(await ask('https://192.0.2.11:8774/identity/v3'), /CERTIFICATE_VERIFY_FAILED/);
    assert.match(await ask('http://192.0.2.11:8774/identity/v3'), /^no: .*(disconnected|closed|reset)/i);
    assert.match(await ask('http://192.0.2.11:5672/'), /refused/, 'the broker has no door without TLS');
    const encrypted = await on('control').run(
      `runuser -u postgres -- psql -At -c "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'micronova'"`,
    );
    assert.equal(encrypted, 't\n');
  });

  test('guests outlive the agent: restart, stop and start, an upgrade', async () => {
    const [name] = await hostsWithGuest();
    assert.ok(name, 'the server is somewhere');
    const host = on(name);
    const guest = await guestPid(host);
    for (const block of section('Stop, restart, upgrade').filter(({ machines }) => machines.includes(name)))
      await follow(block);
    await host.run('systemctl stop micronova-compute');
    assert.equal(await guestPid(host), guest, 'it runs without an agent');
    await host.run('systemctl start micronova-compute');
    const agent = 'systemctl show --value --property MainPID micronova-compute';
    const before = await host.run(agent);
    await host.run('apt-get install --yes --reinstall /root/micronova_*.deb');
    assert.notEqual(await host.run(agent), before, 'the new program runs');
    assert.equal(await guestPid(host), guest);
    await host.run('systemctl is-active micronova-compute');
    await admin('openstack server pause first && openstack server unpause first');
    assert.match(
      await admin('openstack server show first -f value -c status'),
      /ACTIVE/,
      'the new agent has it in hand',
    );
  });

  test('of two control planes one answers while the other restarts', async () => {
    const [block] = section('Stop, restart, upgrade').filter(({ machines }) => machines.includes('control'));
    assert.ok(block);
    const pidOf = (instance: number) =>
      on('control').run(`systemctl show --value --property MainPID micronova-control@${instance}`);
    const before = await pidOf(1);
    const asking = on('control').run(ASK_EITHER);
    await follow(block).finally(() => on('control').run('touch /run/enough'));
    const [answered = 0, unanswered] = (await asking).split(' ').map(Number);
    assert.ok(answered > 10, `${answered} were answered`);
    assert.equal(unanswered, 0);
    assert.notEqual(await pidOf(1), before, 'it did restart');
  });

  test('a purge leaves a running guest its files, and nothing otherwise', async () => {
    const [name = ''] = await hostsWithGuest();
    const [other = ''] = NAMES.filter((each) => each !== 'control' && each !== name);
    const purge = (machine: string) =>
      on(machine).run(
        'apt-get purge --yes --quiet=2 micronova 2>&1; ls -d /etc/micronova /var/lib/micronova /var/cache/micronova /usr/lib/micronova 2> /dev/null || :',
      );
    assert.doesNotMatch(await purge(other), /^\//m);
    const guest = await guestPid(on(name));
    const kept = await purge(name);
    assert.match(kept, /guests run on this machine/);
    assert.deepEqual(kept.match(/^\/.*$/gm), ['/var/lib/micronova']);
    assert.equal(await guestPid(on(name)), guest);
  });
});

function host(): string {
  return `
    cp $dir/../*.deb $root/root/
    mkdir -p $root/etc/dropbear; cp $dir/../host-key $root/etc/dropbear/dropbear_ed25519_host_key
    rm -rf $root/root/.ssh; install -d -m 700 $root/root/.ssh; cp $dir/../key.pub $root/root/.ssh/authorized_keys
    printf '[Service]\\nExecStart=/usr/sbin/dropbear -F -E -s\\n' > $root/etc/systemd/system/dropbear.service
    mkdir -p $root/etc/systemd/system/multi-user.target.wants
    ln -sf ../dropbear.service $root/etc/systemd/system/multi-user.target.wants/
    for unit in postgresql rabbitmq-server epmd; do ln -sf /dev/null $root/etc/systemd/system/$unit.service; done
    ln -sf /dev/null $root/etc/systemd/system/epmd.socket`;
}

function on(name: string): Machine {
  const machine = machines.get(name);
  if (!machine) throw new Error(`there is no machine ${name}`);
  return machine;
}

/** Runs a block where it says; answers what was said. Who sees it fail sees what went wrong on all machines. */
async function follow({ machines: names, script }: Block): Promise<string> {
  try {
    return (await Promise.all(names.map((name) => on(name).run(script)))).join('');
  } catch (error) {
    const complaints = await Promise.all(NAMES.map((name) => on(name).run(COMPLAINTS)));
    throw new Error(`${(error as Error).message}\n${complaints.join('')}`);
  }
}

function section(name: string): Block[] {
  return blocks.filter((block) => block.section === name);
}

function admin(command: string): Promise<string> {
  return openstack('micronova-admin', command);
}

function user(command: string): Promise<string> {
  return openstack('micronova', command);
}

function openstack(cloud: string, command: string): Promise<string> {
  const env = `OS_CLIENT_CONFIG_FILE=/var/lib/micronova/control-1/clouds.yaml OS_CLOUD=${cloud}`;
  return on('control').run(`export ${env}; ${command}`);
}

async function guestPid(machine: Machine): Promise<string> {
  return (await machine.run('pgrep --uid micronova-qemu qemu-system || :')).trim();
}

async function hostsWithGuest(): Promise<Name[]> {
  const pids = await Promise.all(NAMES.map((name) => guestPid(on(name))));
  return NAMES.filter((_, index) => pids[index] !== '');
}

/** What our machines could leave on this one. */
function leftovers() {
  const ours = new RegExp(`^mn${process.pid}\\D`);
  const groups = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'].filter((path) =>
    existsSync(path),
  );
  return {
    groups: groups.flatMap((path) => readdirSync(path).filter((name) => ours.test(name))),
    devices: readdirSync('/sys/class/net').filter((name) => ours.test(name)),
    mounts: readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(dir)),
    guests: guestProcesses('/var/lib/micronova'),
  };
}
