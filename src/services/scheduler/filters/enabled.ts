/** An operator has not taken the host out of service. */
import type { Filter } from './filter.ts';

export const enabled: Filter = { name: 'disabled', passes: (host) => host.enabled };
