import { testPart } from './suites.ts';

testPart('runs');
