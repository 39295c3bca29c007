import { testPart } from './suites.ts';

testPart('images');
