/**
 * The plan of an operation: from its definition and its journal, what comes next. Pure, so that going on and recovering
 * are the same thing, and repeating it after any crash gives the same answer.
 */
import type { AnyStep, Operation } from './define.ts';
import type { JournalEntry } from './store.ts';

export type Move<Ports> =
  | { readonly type: 'do'; readonly step: AnyStep<Ports>; readonly pastNoReturn: boolean; readonly begun: boolean }
  | { readonly type: 'undo'; readonly step: AnyStep<Ports> }
  | { readonly type: 'finish'; readonly as: 'done' | 'undone' }
  | { readonly type: 'stop'; readonly reason: string };

export interface Plan<Ports> {
  readonly next: Move<Ports>;
  /** What each finished step answered, by name. */
  readonly outputs: Record<string, unknown>;
  /** The error that turned the operation round, if one did. */
  readonly failure: unknown;
}

/** What comes next. `cancelled` turns round an operation that can still be undone. */
export function planOf<Ports>(
  operation: Operation<Ports>,
  journal: readonly JournalEntry[],
  cancelled: boolean,
): Plan<Ports> {
  const events = new Map<string, Set<JournalEntry['event']>>();
  const outputs: Record<string, unknown> = {};
  let failure: unknown = null;
  for (const entry of journal) {
    const seen = events.get(entry.step) ?? new Set();
    events.set(entry.step, seen);
    // A resumed undo is tried again: its failure counts only until something newer is written about the step.
    if (entry.event === 'undo_started') seen.delete('undo_failed');
    seen.add(entry.event);
    if (entry.event === 'done') outputs[entry.step] = entry.data;
    if (entry.event === 'failed') failure = entry.data;
  }
  const has = (step: AnyStep<Ports>, event: JournalEntry['event']) => events.get(step.name)?.has(event) ?? false;

  const unknown = [...events.keys()].find((name) => !operation.steps.some((step) => step.name === name));
  if (unknown !== undefined) {
    return {
      next: { type: 'stop', reason: `its journal has a step ${unknown} that this version does not know` },
      outputs,
      failure,
    };
  }
  const pastNoReturn = operation.steps.some((step) => step.pointOfNoReturn && has(step, 'done'));
  const turned = failure !== null || (cancelled && !pastNoReturn);

  const next = ((): Move<Ports> => {
    if (turned) {
      const toUndo = operation.steps.findLast((step) => has(step, 'started') && !has(step, 'undone'));
      return toUndo ? { type: 'undo', step: toUndo } : { type: 'finish', as: 'undone' };
    }
    const toDo = operation.steps.find((step) => !has(step, 'done'));
    return toDo
      ? { type: 'do', step: toDo, pastNoReturn, begun: has(toDo, 'started') }
      : { type: 'finish', as: 'done' };
  })();
  return { next, outputs, failure };
}
