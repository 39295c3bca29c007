/**
 * The Python libraries below the command: openstacksdk, which negotiates microversions far above the command's, and the
 * older novaclient and glanceclient. Fake guests: what is tested is what the libraries make of our answers.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type TestCloud, testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

let cloud: TestCloud;
let programs: Programs;

before(async () => {
  needClients();
  cloud = await testCloud({ driver: 'fake' });
  programs = new Programs(cloud.data, 'micronova');
});
after(() => cloud[Symbol.asyncDispose]());

const SDK = `
import json, sys, openstack
conn = openstack.connect()
image_id = sys.argv[1]
flavor = conn.compute.find_flavor('m1.nano')
key = conn.compute.create_keypair(name='sdk-key')
assert key.private_key.startswith('-----BEGIN'), key.private_key
server = conn.compute.create_server(
    name='sdk', image_id=image_id, flavor_id=flavor.id, networks='auto', key_name=key.name,
    description='of the sdk', tags=['one', 'two'], metadata={'a': 'b'}, user_data='IyEvYmluL3NoCg==')
server = conn.compute.wait_for_server(server, wait=30)
found = conn.compute.find_server('sdk')
snapshot = conn.compute.create_server_image(server, 'sdk-snapshot', wait=True, timeout=30)
data = conn.image.download_image(snapshot).content
# Not by server_actions(), which this release of the SDK cannot call itself.
path = '/servers/' + server.id + '/os-instance-actions'
actions = conn.compute.get(path, microversion='2.84').json()['instanceActions']
action = conn.compute.get(path + '/' + actions[-1]['request_id'], microversion='2.84').json()['instanceAction']
out = {
    'status': server.status, 'task': server.task_state, 'power': server.power_state, 'found': found.id == server.id,
    'description': server.description, 'tags': sorted(server.tags), 'metadata': server.metadata,
    'flavor': server.flavor.original_name, 'locked': server.is_locked,
    'version': conn.compute.get_server(server.id).microversion, 'hostname': server.hostname, 'key': server.key_name,
    'volumes': server.attached_volumes,
    'address': [a['addr'] for n in server.addresses.values() for a in n], 'groups': server.security_groups,
    'snapshot': snapshot.status, 'magic': data[:4].hex(), 'size_agrees': snapshot.size == len(data),
    'actions': [each['action'] for each in actions], 'events': [each['event'] for each in action['events']],
    'console': 'output' in conn.compute.get_server_console_output(server, length=5),
    'listed': [each.name for each in conn.compute.servers(details=True, limit=1)],
    'limits': conn.compute.get_limits().absolute.instances_used,
    'renamed': conn.compute.update_server(server, name='renamed').name,
}
conn.compute.delete_server(server)
conn.compute.wait_for_delete(server, wait=30)
conn.image.delete_image(snapshot)
conn.compute.delete_keypair('sdk-key')
out['left'] = [[s.name for s in conn.compute.servers()], [k.name for k in conn.compute.keypairs()]]
print(json.dumps(out))
`;

test('openstacksdk launches, snapshots, downloads and deletes', async () => {
  const answer = JSON.parse(await programs.python(SDK, await cloud.image()));
  const { version, address, power, ...rest } = answer;
  assert.equal(version, '2.73');
  assert.equal(power, 1);
  assert.match(String(address), /^10\.0\.\d+\.\d+$/);
  assert.deepEqual(rest, {
    status: 'ACTIVE',
    task: null,
    found: true,
    description: 'of the sdk',
    tags: ['one', 'two'],
    metadata: { a: 'b' },
    flavor: 'm1.nano',
    locked: false,
    hostname: null,
    key: 'sdk-key',
    volumes: [],
    groups: rest.groups,
    snapshot: 'active',
    magic: '514649fb',
    size_agrees: true,
    actions: ['createImage', 'create'],
    events: rest.events,
    console: true,
    listed: ['sdk'],
    limits: 1,
    renamed: 'renamed',
    left: [[], []],
  });
  assert.ok(rest.events.length > 1, 'the steps of the launch are events');
});

const NOVA = `
import json, sys, time
from keystoneauth1 import loading, session
import openstack
from novaclient import client, exceptions
conn = openstack.connect()
image_id = sys.argv[1]
out = {}
for version in ('2.1', '2.92'):
    nova = client.Client(version, session=conn.session)
    more = {} if version == '2.1' else {'nics': 'none'}
    server = nova.servers.create('nova-' + version, image_id, '42', min_count=1, **more)
    while nova.servers.get(server.id).status == 'BUILD':
        time.sleep(0.05)
    shown = nova.servers.get(server.id)
    made = nova.servers.create_image(server, 'nova-image', {'own': 'property'})
    while getattr(nova.servers.get(server.id), 'OS-EXT-STS:task_state') is not None:
        time.sleep(0.05)
    by_name = nova.servers.list(search_opts={'name': '^nova-' + version.replace('.', '[.]') + '$'})
    out[version] = {
        'status': shown.status, 'image': isinstance(made, str), 'found': [s.name for s in by_name],
        'admin_pass': len(server.adminPass) > 5, 'actions': [a.action for a in nova.instance_action.list(server.id)],
        'flavor': sorted(shown.flavor),
    }
    server.delete()
    while True:
        try:
            nova.servers.get(server.id)
        except exceptions.NotFound:
            break
        time.sleep(0.05)
nova = client.Client('2.1', session=conn.session)
try:
    nova.servers.create('bad', image_id, '5')
except exceptions.ClientException as error:
    out['refused'] = [error.code, error.message[:40]]
try:
    client.Client('2.1', session=conn.session).hypervisors.list()
except exceptions.ClientException as error:
    out['forbidden'] = error.code
try:
    client.Client('2.1', session=conn.session).agents.list()
except exceptions.ClientException as error:
    out['unknown'] = error.code
out['versions'] = [v.version for v in nova.versions.list() if v.version]
print(json.dumps(out))
`;

test('novaclient works at the lowest and at its highest microversion', async () => {
  const answer = JSON.parse(await programs.python(NOVA, await cloud.image()));
  for (const [version, flavorKeys] of [
    ['2.1', ['id', 'links']],
    ['2.92', ['disk', 'ephemeral', 'extra_specs', 'original_name', 'ram', 'swap', 'vcpus']],
  ] as const) {
    assert.deepEqual(answer[version], {
      status: 'ACTIVE',
      image: true,
      found: [`nova-${version}`],
      admin_pass: true,
      actions: ['createImage', 'create'],
      flavor: flavorKeys,
    });
  }
  assert.deepEqual(answer.versions, ['2.93']);
  assert.equal(answer.forbidden, 403);
  assert.equal(answer.unknown, 404);
});

const GLANCE = `
import json, io, openstack
from glanceclient import Client, exc
conn = openstack.connect()
glance = Client('2', session=conn.session)
image = glance.images.create(name='glance', disk_format='raw', container_format='bare', visibility='private', own='1')
glance.images.upload(image.id, io.BytesIO(b'some bytes'))
shown = glance.images.get(image.id)
glance.images.update(image.id, name='other', own='2')
data = b''.join(glance.images.data(image.id))
tagged = glance.image_tags.update(image.id, 'tag')
listed = [i.id for i in glance.images.list(filters={'own': '2'})]
out = {'status': shown.status, 'data': data.decode(), 'listed': listed == [image.id],
       'tags': glance.images.get(image.id).tags, 'valid': shown.own}
glance.images.delete(image.id)
try:
    glance.images.get(image.id)
except exc.HTTPNotFound as error:
    out['gone'] = error.details
print(json.dumps(out))
`;

test('glanceclient uploads, checks the hash of what it downloads, and reads our errors', async () => {
  const { gone, ...answer } = JSON.parse(await programs.python(GLANCE));
  assert.deepEqual(answer, { status: 'active', data: 'some bytes', listed: true, tags: ['tag'], valid: '1' });
  assert.match(gone, /No image found with ID/);
});
