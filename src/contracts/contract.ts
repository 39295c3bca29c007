/**
 * How an interface between two roles is written down: a table of methods, from which server handlers and client
 * proxies are typed. A missing handler does not compile.
 *
 * Delivery is at least once, so every handler must be idempotent. Contracts grow by optional fields only.
 */
import type { Static, TSchema } from 'typebox';

/** The version that agents and conductors of this code speak; a difference is refused when an agent registers. */
export const CONTRACT_VERSION = 2;

/** How long a caller waits: for a record, for a hypervisor, for something that starts processes. */
export const TIMEOUT_MS = { fast: 5_000, normal: 30_000, slow: 120_000 } as const;

/**
 * `call`: asks and waits for the answer. `cast`: tells, and is done when the bus has it. `job`: long work; accepted at
 * once, reports progress, and ends with an answer; asked again it goes on reporting about the same work.
 */
export interface Method<Input extends TSchema = TSchema, Output extends TSchema = TSchema> {
  readonly kind: 'call' | 'cast' | 'job';
  readonly timeout: keyof typeof TIMEOUT_MS;
  readonly input: Input;
  readonly output: Output;
  readonly doc: string;
}

export interface Contract<Methods extends Record<string, Method> = Record<string, Method>> {
  /** Name of the role that answers: `compute`. With a host it is one agent, without it is any process of that role. */
  readonly role: string;
  readonly methods: Methods;
}

export function contract<Methods extends Record<string, Method>>(role: string, methods: Methods): Contract<Methods> {
  return { role, methods };
}

export type InputOf<M> = M extends Method<infer Input, TSchema> ? Static<Input> : never;
export type OutputOf<M> = M extends Method<TSchema, infer Output> ? Static<Output> : never;
