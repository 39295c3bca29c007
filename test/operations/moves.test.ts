import { testPart } from './suites.ts';

testPart('moves');
