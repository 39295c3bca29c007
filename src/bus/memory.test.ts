/** The memory transport conforms. */
import { busConformance } from './conformance.ts';
import { memoryTransport } from './memory.ts';

busConformance('memory', async () => memoryTransport());
