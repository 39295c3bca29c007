/**
 * One namespace and all that shall be in it: data, made from the plan by pure functions (`network-space.ts`, `router-space.ts`,
 * `outside-space.ts`) and made real by `space-keeper.ts`.
 */
import type { DnsmasqConfig } from './texts/dnsmasq-config.ts';
import type { Link } from './texts/links.ts';
import type { Ruleset } from './texts/ruleset.ts';

/** Two ends of a wire, or one end of a tunnel. Null: outside of our namespaces. */
export interface Cable {
  readonly ends: readonly (readonly [space: string | null, device: string])[];
  /** For `ip -batch` outside: makes it with each end in its place. */
  readonly make: string;
}

export interface Space {
  /** Name of the namespace; null: outside of ours. */
  readonly name: string | null;
  /** For people. */
  readonly what: string;
  /** Path below /proc/sys, without the slash before → value. */
  readonly settings: Readonly<Record<string, string | number>>;
  readonly cables: readonly Cable[];
  readonly links: readonly Link[];
  /** `10.9.0.0/16 via 10.1.0.9`; each is replaced, those that are no longer wanted go. */
  readonly routes: readonly string[];
  /** Static entries of bridges: `aa:… dev t…`. */
  readonly neighbours: readonly { readonly mac: string; readonly device: string }[];
  /** Other hosts behind a tunnel. */
  readonly tunnel: { readonly device: string; readonly peers: readonly string[] } | null;
  readonly rules: readonly Ruleset[];
  /** Tables that go. */
  readonly noRules: readonly Pick<Ruleset, 'family' | 'table'>[];
  readonly dnsmasq: DnsmasqConfig | null;
}

/** A wire between two namespaces. */
export function wire(one: readonly [string | null, string], other: readonly [string | null, string]): Cable {
  const words = ([space, device]: readonly [string | null, string]) =>
    space === null ? device : `${device} netns ${space}`;
  return { ends: [one, other], make: `link add name ${words(one)} type veth peer name ${words(other)}` };
}
