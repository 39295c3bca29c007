/** The language of extra specs, operator by operator. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesSpec } from './spec-match.ts';

const CASES: readonly (readonly [value: string, wanted: string, matches: boolean])[] = [
  ['QEMU', 'QEMU', true],
  ['QEMU', 'qemu', false],
  ['4', '= 3', true],
  ['4', '= 5', false],
  ['4', '== 4.0', true],
  ['4', '== 5', false],
  ['4', '!= 5', true],
  ['4', '!= 4', false],
  ['10', '>= 9', true],
  ['8', '>= 9', false],
  ['9', '<= 9', true],
  ['10', '<= 9', false],
  ['x', '>= 1', false],
  ['10', 's== 10', true],
  ['10', 's== 10.0', false],
  ['a', 's!= b', true],
  ['a', 's!= a', false],
  ['a', 's< b', true],
  ['b', 's< a', false],
  ['b', 's<= b', true],
  ['b', 's> a', true],
  ['a', 's>= b', false],
  ['x86_64', '<in> 86', true],
  ['x86_64', '<in> arm', false],
  ['aes mmx', '<all-in> aes mmx', true],
  ['aes', '<all-in> aes mmx', false],
  ['b', '<or> a <or> b', true],
  ['c', '<or> a <or> b', false],
  ['<or>', '<or> a <or> b', false],
  ['4', '>=', false],
  ['a', 's==', false],
  ['constructor', 'constructor', true],
];

for (const [value, wanted, matches] of CASES)
  test(`${value} ${matches ? 'is' : 'is not'} what '${wanted}' asks for`, () =>
    assert.equal(matchesSpec(value, wanted), matches));
