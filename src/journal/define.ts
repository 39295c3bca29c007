/**
 * How an operation is written: a list of steps that do and undo, typed so that a step sees the outputs of those before.
 *
 * A step may run twice, and so may its undo; both take ids from earlier steps and ensure rather than create. What the
 * record says about the server changes only in the transaction that journals the step (`record`, `unrecord`).
 */
import type { Static, TSchema } from 'typebox';
import type { ServerChanges } from '#domain/instance/instance.ts';
import type { TaskState, VmState } from '#domain/instance/states.ts';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Log } from '#observe/log.ts';

/** What a step changes of the record of the move that its operation works on. */
export interface MigrationPatch {
  readonly status?:
    | 'pre-migrating'
    | 'migrating'
    | 'running'
    | 'post-migrating'
    | 'finished'
    | 'confirmed'
    | 'reverted'
    | 'completed'
    | 'done';
  readonly destHost?: string;
}

/** What a step changes of the server's row, in the transaction that says the step is done. Times are epoch ms. */
export interface InstancePatch {
  readonly host?: string | null;
  readonly availabilityZone?: string | null;
  readonly vmState?: VmState;
  readonly powerState?: number;
  readonly launchedAt?: number;
  readonly terminatedAt?: number;
  readonly deletedAt?: number;
  readonly shelvedImageId?: string | null;
  readonly shelvedAt?: number | null;
  readonly softDeletedAt?: number | null;
  readonly changes?: ServerChanges;
  readonly migration?: MigrationPatch;
}

/** The narrow world of one step. */
export interface StepContext<Ports, Input, Outputs> {
  readonly operationId: string;
  readonly requestId: string;
  readonly serverId: string;
  readonly projectId: string;
  readonly userId: string;
  readonly input: Input;
  /** Values that must not be journaled in the clear; gone when the operation has ended. */
  readonly secrets: Readonly<Record<string, string>>;
  /** What the steps before this one answered; in an undo, also this step's own, if it got so far. */
  readonly outputs: Outputs;
  readonly ports: Ports;
  /** Aborted by a cancel, by the step's deadline, and when the process stops. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly done: number; readonly total: number }) => void;
  /** `<operation>/<step>`: names the work for those who are asked to do it. */
  readonly key: string;
  readonly now: () => number;
  readonly log: Log;
}

export interface Step<Ports, Input, Outputs, Output> {
  readonly doc: string;
  /** Shown as the server's task state while the step runs. */
  readonly task?: TaskState;
  readonly do: (context: StepContext<Ports, Input, Outputs>) => Promise<Output>;
  /** Takes back whatever `do` may have done, also when it died half-way and left no output. */
  readonly undo?: (context: StepContext<Ports, Input, Outputs>) => Promise<void>;
  readonly record?: (output: Output, context: { readonly now: number; readonly input: Input }) => InstancePatch;
  readonly unrecord?: (context: { readonly input: Input }) => InstancePatch;
  /**
   * After this step is done nothing is undone any more. The steps behind it are tried until they succeed; one that cannot is for
   * a person to look at.
   */
  readonly pointOfNoReturn?: true;
  /** Longest time for one attempt; 2 minutes where not given. Jobs that show progress may take hours. */
  readonly deadlineMs?: number | ((input: Input) => number);
}

/** A step as the engine sees it, types erased. */
export interface AnyStep<Ports> extends Step<Ports, unknown, Record<string, unknown>, unknown> {
  readonly name: string;
}

/**
 * How an operation that an older release accepted goes on in this one: its steps are all still here, in their order. Each function is
 * also given what this release has written, and leaves that as it is.
 */
export interface Older {
  readonly input?: (input: Values) => Values;
  /** By step. */
  readonly outputs?: Readonly<Record<string, (output: Values) => Values>>;
}

type Values = Readonly<Record<string, unknown>>;

export interface Operation<Ports> {
  readonly kind: OperationKind;
  /** Changed whenever steps are added, removed, renamed or change their output. */
  readonly version: number;
  readonly input: TSchema;
  /** By version; those of the last release, as long as they can be in flight when this one starts. */
  readonly older?: Readonly<Record<number, Older>>;
  readonly steps: readonly AnyStep<Ports>[];
}

interface Builder<Ports, Input, Outputs> extends Operation<Ports> {
  step<const Name extends string, Output>(
    name: Name,
    step: Step<Ports, Input, Outputs, Output>,
  ): Builder<Ports, Input, Outputs & { readonly [N in Name]: Output }>;
}

/** Begins a definition; add the steps with `.step(name, {…})` in their order. */
export function operationsOver<Ports>() {
  return <Schema extends TSchema>(
    kind: OperationKind,
    description: Pick<Operation<Ports>, 'version' | 'older'> & { readonly input: Schema },
  ): Builder<Ports, Static<Schema>, object> => {
    const build = (steps: readonly AnyStep<Ports>[]): Builder<Ports, Static<Schema>, object> => ({
      kind,
      ...description,
      steps,
      // The builder's types guarantee that a step only reads outputs of steps before it; the engine passes them all.
      step: (name, step) => build([...steps, { ...(step as unknown as AnyStep<Ports>), name }]) as never,
    });
    return build([]);
  };
}
