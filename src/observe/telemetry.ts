/** What every layer gets from its process to be observed by. */
import { type Meter, NO_METER } from './metrics.ts';
import { NO_TRACER, type Tracer } from './tracer.ts';

export interface Telemetry {
  readonly meter: Meter;
  readonly tracer: Tracer;
}

export const NO_TELEMETRY: Telemetry = { meter: NO_METER, tracer: NO_TRACER };
