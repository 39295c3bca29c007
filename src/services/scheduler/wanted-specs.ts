/** What a flavor's extra specs ask of the host, sorted by who answers; read once for a decision, not once for a host. */

export interface WantedSpec {
  /** Without its scope. */
  readonly key: string;
  readonly value: string;
}

export interface WantedSpecs {
  /** Of what the host is: scope `capabilities`, or none. */
  readonly capabilities: readonly WantedSpec[];
  /** Of the metadata of its aggregates: scope `aggregate_instance_extra_specs`. */
  readonly aggregates: readonly WantedSpec[];
}

const CAPABILITIES = 'capabilities:';
const AGGREGATES = 'aggregate_instance_extra_specs:';

export const NO_SPECS: WantedSpecs = { capabilities: [], aggregates: [] };

/** Specs of other scopes (`hw:`, `quota:`) are not about where the server goes. */
export function wantedSpecs(extraSpecs: Readonly<Record<string, string>> = {}): WantedSpecs {
  const entries = Object.entries(extraSpecs);
  if (entries.length === 0) return NO_SPECS;
  const scoped = (scope: string) =>
    entries.filter(([key]) => key.startsWith(scope)).map(([key, value]) => ({ key: key.slice(scope.length), value }));
  const unscoped = entries.filter(([key]) => !key.includes(':')).map(([key, value]) => ({ key, value }));
  return { capabilities: [...scoped(CAPABILITIES), ...unscoped], aggregates: scoped(AGGREGATES) };
}
