import { testPart } from './suites.ts';

testPart('live');
