import { testPart } from './suites.ts';

testPart('disks');
