import { testPart } from './suites.ts';

testPart('lives');
