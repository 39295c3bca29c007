/** Hostnames made of server names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostnameOf } from './instance.ts';

test('a name becomes a hostname by Nova’s rules', () => {
  for (const [name, hostname] of [
    ['web', 'web'],
    ['Web Server_1', 'web-server-1'],
    ['-.web.-', 'web'],
    ['a.b', 'a.b'],
    ['x'.repeat(80), 'x'.repeat(63)],
    [`${'x'.repeat(62)}-y`, 'x'.repeat(62)],
    ['日本', 'server-id'],
    ['---', 'server-id'],
    ['<script>', 'script'],
  ] as const)
    assert.equal(hostnameOf(name, 'id'), hostname, name);
});

test('whatever the name, the hostname is one', () => {
  for (const name of ['\u0000', '\ud800', '../..', 'a\nb', '.-.-', `${'-'.repeat(100)}z`, 'Ünï cödé'])
    assert.match(hostnameOf(name, 'id'), /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/);
});
