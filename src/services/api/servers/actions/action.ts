/** How one action of `POST /servers/{id}/action` is described; the route and the reference are made of these. */
import type { Static, TSchema } from 'typebox';
import type { ServerRow } from '#db/tables/compute.ts';
import type { Answer, ServiceRequest, Versioned } from '#http/route.ts';
import type { ApiDeps } from '../../api-deps.ts';

export type ActionRequest = ServiceRequest<unknown, unknown>;

export interface Action<Argument = never> {
  readonly doc: string;
  /** Of what is below the action's name. */
  readonly argument: Versioned<TSchema>;
  /** First and last microversion (minor) that has it. */
  readonly from?: number;
  readonly until?: number;
  /** An answer without a status is 202. */
  readonly handle: (deps: ApiDeps, request: ActionRequest, row: ServerRow, argument: Argument) => Promise<Answer>;
}

/** Describes an action; the handler's argument has the type of its schema. */
export function action<Schema extends TSchema>(description: {
  readonly doc: string;
  readonly argument: Versioned<Schema>;
  readonly from?: number;
  readonly until?: number;
  readonly handle: Action<Static<Schema>>['handle'];
}): Action {
  // Checked against that very schema before the handler is called.
  return description as unknown as Action;
}
