/** The network plane of an ordinary user. Needs root only to become one. */
import { conformance } from './conformance.ts';

conformance('rootless');
