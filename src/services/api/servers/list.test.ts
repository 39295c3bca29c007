/** Lists of servers: what a query selects, in which order, page by page, and what each caller may ask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, type Caller, PROJECTS } from '../api-harness.ts';

async function names(api: ApiHarness, who: Caller, query: string, version = '2.1'): Promise<string[]> {
  const answer = await api.call(who, 'GET', `/servers${query}`, { version });
  assert.equal(answer.status, 200, `${query}: ${answer.text}`);
  return answer.body.servers.map((server: { name: string }) => server.name);
}

async function refused(api: ApiHarness, who: Caller, query: string, version = '2.1'): Promise<[number, string]> {
  const { status, body, text } = await api.call(who, 'GET', `/servers${query}`, { version });
  const [fault] = Object.values(body as Record<string, { message: string }>);
  return [status, fault?.message ?? text];
}

test('pages of two show every server once, also when all were created at the same time', async () => {
  await using api = await apiHarness();
  const all = await Promise.all(Array.from({ length: 7 }, (_, index) => api.add({ name: `s${index}` })));
  for (const path of ['/servers', '/servers/detail']) {
    for (const sorting of [
      '',
      '&sort_key=display_name&sort_dir=asc',
      '&sort_key=vm_state',
      '&sort_key=created_at&sort_dir=asc',
    ]) {
      const seen: string[] = [];
      let url: string | undefined = `${path}?limit=2${sorting}`;
      while (url !== undefined) {
        const { body } = await api.call('demo', 'GET', url);
        const page: { id: string }[] = body.servers;
        seen.push(...page.map(({ id }) => id));
        assert.equal(page.length === 2, 'servers_links' in body, 'a link exactly where the page is full');
        const href: string | undefined = body.servers_links?.[0].href;
        url = href?.slice('http://cloud.example/compute/v2.1'.length);
        assert.ok(seen.length <= 8, 'the paging ends');
      }
      assert.deepEqual(seen.toSorted(), all.toSorted(), `${path}${sorting}`);
    }
  }
});

// db/repo/servers.ts compares with the marker's null, which SQL finds neither smaller nor larger.

test('pages by a key that is null for some show every server once', async () => {
  await using api = await apiHarness();
  for (const host of ['b', null, 'a', null, 'c'])
    await api.add({ host, name: `on-${host}`, launched_at: host ? 1 : null });
  for (const sorting of ['sort_key=host', 'sort_key=host&sort_dir=asc', 'sort_key=launched_at']) {
    const seen = new Set<string>();
    let marker = '';
    for (let page = 0; page < 4; page++) {
      const { body } = await api.call('demo', 'GET', `/servers?limit=2&${sorting}${marker}`);
      for (const { id } of body.servers) {
        assert.ok(!seen.has(id), `${sorting} shows a server twice`);
        seen.add(id);
        marker = `&marker=${id}`;
      }
      if (body.servers.length === 0) break;
    }
    assert.equal(seen.size, 5, sorting);
  }
});

test('the newest come first', async () => {
  await using api = await apiHarness();
  for (const name of ['old', 'middle', 'new']) {
    await api.add({ name });
    api.clock += 1000;
  }
  assert.deepEqual(await names(api, 'demo', ''), ['new', 'middle', 'old']);
  assert.deepEqual(await names(api, 'demo', '?sort_key=created_at&sort_dir=asc'), ['old', 'middle', 'new']);
  assert.deepEqual(await names(api, 'demo', '?sort_key=display_name&sort_dir=asc'), ['middle', 'new', 'old']);
});

test('a name filter is a regular expression; hostile ones are refused soon', async () => {
  await using api = await apiHarness();
  for (const name of ['web-1', 'web-2', 'db', `${'a'.repeat(200)}!`]) await api.add({ name });
  assert.deepEqual((await names(api, 'demo', '?name=web')).toSorted(), ['web-1', 'web-2']);
  assert.deepEqual(await names(api, 'demo', '?name=%5Edb%24'), ['db']);
  assert.deepEqual(await names(api, 'demo', '?name=nothing'), []);
  assert.equal((await refused(api, 'demo', '?name=%5B'))[0], 400);
  const began = performance.now();
  assert.equal((await refused(api, 'demo', '?name=%5E(a%2B)%2B%24'))[0], 400);
  // Tried, it would take longer than anybody lives.
  assert.ok(performance.now() - began < 10_000);
});

test('status is matched whatever its case, and an unknown one matches nothing', async () => {
  await using api = await apiHarness();
  await api.add({ name: 'up' });
  await api.add({ name: 'broken', vm_state: 'error' });
  await api.add({ name: 'off', vm_state: 'stopped' });
  assert.deepEqual(await names(api, 'demo', '?status=active'), ['up']);
  assert.deepEqual(await names(api, 'demo', '?status=ERROR'), ['broken']);
  assert.deepEqual((await names(api, 'demo', '?status=ACTIVE&status=SHUTOFF')).toSorted(), ['off', 'up']);
  assert.deepEqual(await names(api, 'demo', '?status=NONSENSE'), []);
  assert.deepEqual(await names(api, 'demo', '?vm_state=stopped'), ['off']);
});

test('other filters select by image, flavor, time and, from 2.73, lock', async () => {
  await using api = await apiHarness();
  await api.add({ name: 'one', image_id: 'x', locked: 1 });
  api.clock += 60_000;
  await api.add({ name: 'two', reservation_id: 'r-2' });
  assert.deepEqual(await names(api, 'demo', '?image=x'), ['one']);
  assert.deepEqual(await names(api, 'demo', '?flavor=42&reservation_id=r-2'), ['two']);
  assert.deepEqual(await names(api, 'demo', '?flavor=43'), []);
  assert.deepEqual(await names(api, 'demo', `?changes-since=${new Date(api.clock).toISOString()}`), ['two']);
  assert.deepEqual(await names(api, 'demo', '?locked=true', '2.73'), ['one']);
  assert.equal((await names(api, 'demo', '?locked=true', '2.72')).length, 2);
  for (const wrong of ['tomorrow', '2026/01/01', '1'])
    assert.equal((await refused(api, 'demo', `?changes-since=${wrong}`))[0], 400, wrong);
  assert.deepEqual(await names(api, 'demo', '?limit=0'), []);
});

test('only administrators see other projects, deleted servers and hosts', async () => {
  await using api = await apiHarness();
  await api.add({ name: 'mine' });
  await api.add({ name: 'theirs', project_id: PROJECTS.other, host: 'host-2' });
  await api.add({ name: 'gone', deleted_at: api.clock, vm_state: 'deleted' });
  assert.deepEqual(await names(api, 'other', ''), ['theirs']);
  assert.deepEqual((await names(api, 'admin', '?all_tenants=1')).toSorted(), ['mine', 'theirs']);
  assert.deepEqual(await names(api, 'admin', ''), []);
  assert.deepEqual(await names(api, 'admin', `?all_tenants=1&project_id=${PROJECTS.other}`), ['theirs']);
  assert.deepEqual(await names(api, 'admin', '?all_tenants=1&deleted=true'), ['gone']);
  assert.deepEqual(await names(api, 'admin', '?all_tenants=1&host=host-2'), ['theirs']);
  assert.deepEqual(await names(api, 'demo', '?deleted=true'), ['mine'], 'a filter of administrators is ignored');
  assert.deepEqual(await names(api, 'demo', `?project_id=${PROJECTS.other}`), ['mine']);
  assert.deepEqual(await refused(api, 'demo', '?all_tenants=1'), [
    403,
    "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.",
  ]);
});

test('unknown parameters are ignored until 2.74 and refused from 2.75', async () => {
  await using api = await apiHarness();
  await api.add({ name: 'one' });
  assert.deepEqual(await names(api, 'demo', '?foo=bar', '2.74'), ['one']);
  const [status, message] = await refused(api, 'demo', '?foo=bar', '2.75');
  assert.equal(status, 400);
  assert.match(message, /foo/);
  assert.deepEqual(await names(api, 'demo', '?_private=bar', '2.75'), ['one']);
});

test('limits, markers and sort keys that are none are refused', async () => {
  await using api = await apiHarness();
  const foreign = await api.add({ project_id: PROJECTS.other });
  for (const query of [
    'limit=-1',
    'limit=x',
    'limit=1.5',
    'marker=nowhere',
    `marker=${foreign}`,
    'sort_key=__proto__',
    'sort_key=created_at&sort_dir=up',
  ])
    assert.equal((await refused(api, 'demo', `?${query}`))[0], 400, query);
  assert.deepEqual(await refused(api, 'demo', '?marker=nowhere'), [400, 'marker [nowhere] not found']);
});
