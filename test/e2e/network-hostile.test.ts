/**
 * What a guest tries that wants to be another: each from the shell of a real guest, and each once where its port may do so,
 * which shows that the attempt is one.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { eventually } from '../eventually.ts';
import { RealNetwork, type RealPort, reaches } from './real-network.ts';
import type { RealServer } from './real-server.ts';

const METADATA = '169.254.169.254';
/** Of nobody. */
const OTHER_MAC = 'fa:16:3e:66:66:66';

describe('a guest that pretends', { timeout: 240_000 }, () => {
  let world: RealNetwork;
  let liar: RealServer;
  let victim: RealServer;
  let lying: RealPort;
  let honest: RealPort;
  /** A group into which everybody may come: what is kept out is kept out for what it says it is. */
  let everything: string;

  /** Whether its port is held to what it was given. */
  const isHeld = (held: boolean) =>
    world.set('port', lying.id, {
      port_security_enabled: held,
      security_groups: held ? [everything] : [],
      allowed_address_pairs: [],
    });
  /** As it was given to it, whatever it did before. */
  const itself = (mac = lying.mac) =>
    liar.run(
      `ip link set eth0 down; ip link set eth0 address ${mac}; ip addr flush dev eth0; ip link set eth0 up; ` +
        `ip addr add ${lying.address}/20 dev eth0; ip route replace default via 10.0.0.1`,
    );
  const soon = (what: string, probe: () => Promise<boolean>) => eventually(what, probe, { withinMs: 20_000 });

  before(async () => {
    world = await RealNetwork.open();
    everything = await world.make('security_group', { name: 'everything' }, 'security-groups');
    const rule = { security_group_id: everything, direction: 'ingress', ethertype: 'IPv4' };
    await world.make('security_group_rule', rule, 'security-group-rules');
    const groups = { security_groups: [{ name: 'everything' }] };
    [liar, victim] = await Promise.all([world.launch('liar', groups), world.launch('victim', groups)]);
    [lying, honest] = [await world.portOf(liar), await world.portOf(victim)];
    await eventually('the two talk', () => reaches(liar, honest.address), { withinMs: 60_000 });
  });
  after(() => world[Symbol.asyncDispose]());
  beforeEach(async () => {
    await isHeld(true);
    await itself();
    await soon('the two talk', () => reaches(liar, honest.address));
  });

  test('is not heard with another MAC', async () => {
    await itself(OTHER_MAC);
    assert.ok(!(await reaches(liar, honest.address)));
    await isHeld(false);
    await soon('where that is allowed it is heard', () => reaches(liar, honest.address));
    await isHeld(true);
    await soon('and no more', async () => !(await reaches(liar, honest.address)));
  });

  test('is not heard with an address that it has not', async () => {
    const more = '10.0.14.200';
    await liar.run(`ip addr add ${more}/32 dev eth0`);
    const speaks = () => reaches(liar, `-I ${more} ${honest.address}`);
    assert.ok(!(await speaks()));
    await world.set('port', lying.id, { allowed_address_pairs: [{ ip_address: more }] });
    await soon('an allowed pair is one that it has', speaks);
    await world.set('port', lying.id, { allowed_address_pairs: [] });
    await soon('and no more', async () => !(await speaks()));
  });

  test('does not take another’s address by ARP', async () => {
    // The gateway's: what the victim sends out would come to the liar.
    const gateway = '10.0.0.1';
    const steal = () =>
      liar.run(
        `ip addr add ${gateway}/32 dev eth0 2> /dev/null; arping -q -U -c 2 -I eth0 -s ${gateway} ${gateway}; true`,
      );
    const believed = () => victim.run(`ping -c 1 -W 1 ${gateway} > /dev/null; ip neigh show ${gateway}`);
    const truth = await believed();
    assert.match(truth, /lladdr/);
    await steal();
    assert.ok(!(await victim.run(`ip neigh show ${gateway}`)).includes(lying.mac));
    await isHeld(false);
    await soon('where that is allowed it is believed', async () => {
      await steal();
      return (await victim.run(`ip neigh show ${gateway}`)).includes(lying.mac);
    });
  });

  test('hears no metadata but its own, whatever it says and whatever address it takes', async () => {
    // By hand: busybox's wget falls over where a card has been down.
    const ask = async (from: RealServer, ...headers: string[]) => {
      const said = ['GET /openstack/latest/meta_data.json HTTP/1.0', ...headers, '', ''].join('\\r\\n');
      const ask = `(printf "${said}"; sleep 1) | timeout 4 nc ${METADATA} 80 2> /dev/null`;
      const found = /"uuid": ?"([^"]+)"/.exec(await from.run(`${ask}; true`));
      return found?.[1] ?? null;
    };
    assert.equal(await ask(victim), victim.id);
    const headers = [
      `X-Forwarded-For: ${honest.address}`,
      `X-Real-IP: ${honest.address}`,
      `X-Instance-ID: ${victim.id}`,
      `X-Neutron-Network-ID: ${await world.idOf('networks?name=private')}`,
    ];
    assert.equal(await ask(liar, ...headers), liar.id);
    // With the victim's address, also where its port lets it have any.
    const taken = `ip addr flush dev eth0; ip addr add ${honest.address}/20 dev eth0; ip route replace default via 10.0.0.1`;
    await liar.run(taken);
    assert.notEqual(await ask(liar, ...headers), victim.id, 'held');
    await isHeld(false);
    await soon('it is heard as itself', async () => (await ask(liar, ...headers)) === liar.id);
  });

  test('is nobody’s DHCP server', async () => {
    // The only one that could answer here.
    const subnet = await world.idOf('subnets?cidr=10.0.0.0/20');
    await world.set('subnet', subnet, { enable_dhcp: false });
    await liar.run(
      [
        'ip addr add 10.66.0.1/24 dev eth0',
        'mkdir -p /var/lib/misc; touch /var/lib/misc/udhcpd.leases',
        'printf "start 10.66.0.50\\nend 10.66.0.60\\ninterface eth0\\nopt subnet 255.255.255.0\\nopt router 10.66.0.1\\n" > /tmp/rogue',
        'udhcpd -S /tmp/rogue',
      ].join('; '),
    );
    await liar.run('pidof udhcpd');
    await victim.run('printf "#!/bin/sh\\necho \\$1 \\$ip\\n" > /tmp/told; chmod +x /tmp/told');
    const offered = async () =>
      (await victim.run('udhcpc -i eth0 -n -q -t 3 -T 1 -s /tmp/told 2> /dev/null; true')).includes('10.66.0.');
    assert.ok(!(await offered()));
    await isHeld(false);
    await soon('where that is allowed it is heard', offered);
    await isHeld(true);
    await soon('and no more', async () => !(await offered()));
  });
});
