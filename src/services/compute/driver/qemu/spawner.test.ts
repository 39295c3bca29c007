/** The shell that starts programs: what it reports, and what outlives whom. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { processesIn, until } from '../conformance.ts';
import { Spawner } from './spawner.ts';

describe('spawner', () => {
  let cwd: string;
  let spawner: Spawner;

  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), "micronova-it's-"));
    spawner = new Spawner();
  });

  afterEach(async () => {
    await spawner.close();
    for (const pid of await processesIn(cwd)) process.kill(pid, 'SIGKILL');
    await rm(cwd, { recursive: true, force: true });
  });

  test('runs programs with any words, at the same time, and leaves no files', async () => {
    const words = ["it's", '$HOME', '"', '\\', '* ;', ''];
    const outputs = await Promise.all(words.map((word) => spawner.run(['printf', '<%s>', word], { cwd })));
    assert.deepEqual(
      outputs,
      words.map((word) => `<${word}>`),
    );
    assert.deepEqual(await readdir(cwd), []);
    await assert.rejects(spawner.run(['echo', 'two\nlines'], { cwd }), { code: 'bad_spec' });
  });

  test('a failure carries the words of the program', async () => {
    const failing = spawner.run(['ls', '/no/such/place'], { cwd });
    await assert.rejects(failing, { code: 'tool_failed', message: /No such file/ });
    await assert.rejects(spawner.run(['no-such-program'], { cwd }), { code: 'tool_failed', message: /not found/ });
    await assert.rejects(spawner.run(['true'], { cwd: join(cwd, 'missing') }), { code: 'tool_failed' });
  });

  test('limits hold, and an abort kills', async () => {
    const limits = { addressSpaceMib: 512, cpuSeconds: 1 };
    assert.equal(await spawner.run(['sh', '-c', 'ulimit -v; ulimit -t'], { cwd, limits }), '524288\n1\n');
    const abort = new AbortController();
    const sleeping = spawner.run(['sleep', '60'], { cwd, signal: abort.signal, onStart: () => abort.abort() });
    await assert.rejects(sleeping, { code: 'aborted' });
    await until(async () => (await processesIn(cwd)).length === 0, 'the program is gone');
  });

  test('a detached program reports how it ended', async () => {
    const started = await spawner.detach(['sh', '-c', 'echo hello; exit 3'], { cwd, log: 'log' });
    assert.deepEqual(await started.exited, { status: 3, signal: null });
    assert.equal(await readFile(join(cwd, 'log'), 'utf8'), 'hello\n');
    const { pid, exited } = await spawner.detach(['sleep', '60'], { cwd, log: 'log' });
    process.kill(pid, 'SIGKILL');
    assert.deepEqual(await exited, { status: 137, signal: 9 });
  });

  test('helpers die with Node, even by SIGKILL; detached programs stay', async () => {
    const program = `
      const { Spawner } = await import(${JSON.stringify(new URL('./spawner.ts', import.meta.url).href)});
      const [spawner, cwd] = [new Spawner(), process.argv[1]];
      const { pid } = await spawner.detach(['sleep', '61'], { cwd, log: 'log' });
      void spawner.run(['sleep', '62'], { cwd, onStart: () => console.log(pid) });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, cwd], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await createInterface({ input: child.stdout })
      [Symbol.asyncIterator]()
      .next()
      .then(({ value }) => [value]);
    const isAsleep = async (pid: number) => (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')) === 'sleep\n';
    // A pid is told before its program has begun.
    const asleep = async () => (await Promise.all((await processesIn(cwd)).map(isAsleep))).filter(Boolean).length;
    await until(async () => (await asleep()) === 2, 'both programs have begun');
    child.kill('SIGKILL');
    await until(async () => (await processesIn(cwd)).length === 1, 'only the detached program is left');
    assert.deepEqual(await processesIn(cwd), [Number(line)]);
  });
});
