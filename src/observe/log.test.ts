/** Logs: JSON lines with the ids of who asked, read back in order, and never a secret in them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { withContext } from './context.ts';
import { type Logs, logHop, openLogs } from './log.ts';
import { readLogs } from './log-reader.ts';

/** A folder of the test's own. */
function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'micronova-logs-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** What a log folder holds after `write`. */
async function written(dir: string, write: (logs: Logs) => void): Promise<string> {
  const logs = openLogs({ level: 'debug', to: { dir } });
  // The file is opened in the background; what was written before that is in memory.
  logs.of('nova-api').info('first');
  const deadline = Date.now() + 5000;
  while (!statSync(join(dir, 'nova-api.log'), { throwIfNoEntry: false })?.size && Date.now() < deadline)
    await new Promise((resolve) => setImmediate(resolve));
  write(logs);
  logs.flush();
  return readFileSync(join(dir, 'nova-api.log'), 'utf8');
}

test('a line has service, level and the ids of the request that caused it', async (t) => {
  const dir = folder(t);
  const context = { requestId: 'req-1', operationId: 'op-1', instanceId: 'i-1', step: 'copyDisk' };
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await written(dir, (logs) =>
    withContext({ ...context, traceparent }, () => logs.of('nova-api').warn({ extra: 1 }, 'a fact')),
  );
  const line = (await readLogs(dir)).at(-1);
  assert.ok(line);
  const { time, pid: _pid, hostname: _hostname, ...rest } = line;
  assert.ok(!Number.isNaN(Date.parse(time)));
  assert.deepEqual(rest, {
    level: 'warn',
    service: 'nova-api',
    request_id: 'req-1',
    operation_id: 'op-1',
    instance_id: 'i-1',
    step: 'copyDisk',
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    extra: 1,
    msg: 'a fact',
  });
});

test('known names of secrets are not written, at the top and one level down', async (t) => {
  const dir = folder(t);
  const text = await written(dir, (logs) => {
    const log = logs.of('nova-api');
    for (const name of ['password', 'adminPass', 'admin_pass', 'token', 'secret', 'privateKey'])
      log.info({ [name]: 'hunter2', input: { password: 'hunter2', adminPass: 'hunter2', token: 'hunter2' } }, 'x');
  });
  assert.doesNotMatch(text, /hunter2/);
  assert.match(text, /\*\*\*/);
});

test('lines of all files are merged by time, those of one request found, broken ones left out', async (t) => {
  const dir = folder(t);
  const line = (time: string, request: string, service: string) =>
    JSON.stringify({ time, level: 'info', service, msg: time, request_id: request });
  writeFileSync(join(dir, 'nova-api.log'), `${line('2026-01-01T00:00:03Z', 'req-a', 'nova-api')}\n{"time":"2026-01`);
  writeFileSync(join(dir, 'nova-api.log.1'), `${line('2026-01-01T00:00:01Z', 'req-a', 'nova-api')}\n`);
  writeFileSync(join(dir, 'keystone.log'), `${line('2026-01-01T00:00:02Z', 'req-b', 'keystone')}\n`);
  writeFileSync(join(dir, 'notes.txt'), 'not a log\n');
  const times = async (request?: string) => (await readLogs(dir, request)).map(({ time }) => time.slice(17, 19));
  assert.deepEqual(await times(), ['01', '02', '03']);
  assert.deepEqual(await times('req-a'), ['01', '03']);
  assert.deepEqual(await times('req'), []);
  assert.deepEqual(await readLogs(join(dir, 'none')), []);
});

test('a hop is one line with its parties', async (t) => {
  const dir = folder(t);
  const text = await written(dir, (logs) =>
    logHop(logs.of('nova-api'), { from: 'client', to: 'nova-api', what: 'GET /', ms: 1.5 }),
  );
  assert.deepEqual(JSON.parse(text.trim().split('\n').at(-1) ?? '').hop, {
    from: 'client',
    to: 'nova-api',
    what: 'GET /',
    ms: 1.5,
  });
});
