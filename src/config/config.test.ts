/** Configuration: which source wins, and what the message says of a value that does not fit. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError, loadConfig, parseListen } from './config.ts';

const dir = mkdtempSync(join(tmpdir(), 'micronova-config-'));
after(() => rmSync(dir, { recursive: true }));

function file(toml: string): string {
  const path = join(dir, 'micronova.toml');
  writeFileSync(path, toml);
  return path;
}

const refusal = (sources: Parameters<typeof loadConfig>[0]): string => {
  try {
    loadConfig(sources);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return 'none';
};

test('everything has a default, and the data folder is absolute', () => {
  const config = loadConfig({});
  assert.deepEqual([config.driver, config.hosts, config.listen], ['qemu', 1, '127.0.0.1:8774']);
  assert.ok(isAbsolute(config.data));
});

test('the collector is also known by the name that all programs know', () => {
  const OTEL_EXPORTER_OTLP_ENDPOINT = 'http://common:4318';
  assert.equal(loadConfig({ env: {} }).otlp_endpoint, '');
  assert.equal(loadConfig({ env: { OTEL_EXPORTER_OTLP_ENDPOINT } }).otlp_endpoint, 'http://common:4318');
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT, MICRONOVA_OTLP_ENDPOINT: 'http://own:4318' };
  assert.equal(loadConfig({ env }).otlp_endpoint, 'http://own:4318');
});

test('a flag beats the environment, that beats the file, that beats the default', () => {
  const sources = {
    file: file('hosts = 2\nhost_name = "file"\ntoken_hours = 2\n'),
    env: { MICRONOVA_HOSTS: '3', MICRONOVA_HOST_NAME: 'env', OTHER: 'x' },
    flags: { hosts: 4, host_name: undefined },
  };
  const { hosts, host_name, token_hours, driver } = loadConfig(sources);
  assert.deepEqual(
    { hosts, host_name, token_hours, driver },
    { hosts: 4, host_name: 'env', token_hours: 2, driver: 'qemu' },
  );
});

test('a value that does not fit is named with the place it came from', () => {
  assert.match(refusal({ flags: { hosts: 0 } }), /^hosts \(flag\): must be >= 1$/);
  assert.match(refusal({ env: { MICRONOVA_HOSTS: 'many' } }), /^hosts \(environment\): must be integer$/);
  assert.match(refusal({ flags: { driver: 'xen' } }), /^driver \(flag\): /);
  const path = file('driver = 5\n');
  assert.ok(refusal({ file: path }).startsWith(`driver (${path}): `));
  assert.match(refusal({ flags: { hosts: Number.NaN } }), /^hosts \(flag\)/);
});

test('an unknown setting, a broken file and a missing one are refused', () => {
  const path = file('colour = "red"\n');
  assert.equal(refusal({ file: path }), `colour (${path}): no such setting`);
  assert.match(refusal({ file: file('hosts = \n') }), /micronova\.toml: /);
  assert.match(refusal({ file: join(dir, 'none.toml') }), /none\.toml: ENOENT/);
});

test('an address to listen on is a host and a port', () => {
  for (const [listen, host, port] of [
    ['127.0.0.1:8774', '127.0.0.1', 8774],
    ['localhost:0', 'localhost', 0],
    [':8774', '0.0.0.0', 8774],
    ['[::1]:80', '::1', 80],
    ['0.0.0.0:65535', '0.0.0.0', 65_535],
  ] as const)
    assert.deepEqual(parseListen(listen), { host, port });
  for (const bad of ['', '8774', 'host', 'host:', 'host:x', 'host:65536', '::1:80', 'host:123456', '[x]:1'])
    assert.throws(() => parseListen(bad), ConfigError, bad);
});
