/** What happens in a sequence, chosen by chance before it runs: so a seed says it all. */
import type { Prng } from '../fuzz/prng.ts';
import type { Exit, Rule } from './rules.ts';

/** What goes wrong in the driver during a step. */
export type Trouble =
  | { readonly type: 'none' }
  /** So many calls fail, before they do anything. */
  | { readonly type: 'fails'; readonly point: string; readonly times: number; readonly retryable: boolean }
  /** The call hangs until what is to happen meanwhile has happened. */
  | { readonly type: 'hangs'; readonly point: string }
  /** Every call takes this long, so that a restart of the cloud comes in between. */
  | { readonly type: 'slow'; readonly ms: number };

export type Meanwhile =
  | { readonly type: 'cancel' }
  | { readonly type: 'exit'; readonly as: Exit }
  | { readonly type: 'wish'; readonly wish: string };

export interface Step {
  /** Two draws for the wish: among those that may begin in the state it is in, or among all. */
  readonly anyWish: boolean;
  readonly draw: number;
  readonly trouble: 'none' | 'fails' | 'hangs' | 'slow';
  readonly troubleDraw: number;
  readonly times: number;
  readonly retryable: boolean;
  readonly meanwhile: readonly Meanwhile[];
  /** The guest changes by itself once the step is over. */
  readonly afterwards: Exit | 'loses its disk' | null;
}

const EXITS: readonly Exit[] = ['crashed', 'stopped', 'paused'];

/** The steps of one sequence. */
export function scriptOf(random: Prng, wishes: readonly string[]): readonly Step[] {
  return Array.from({ length: 3 + random.below(6) }, () => ({
    anyWish: random.chance(0.2),
    draw: random.next(),
    trouble: random.pick(['none', 'none', 'fails', 'fails', 'hangs', 'hangs', 'slow'] as const),
    troubleDraw: random.next(),
    times: random.chance(0.15) ? 4 + random.below(6) : 1 + random.below(3),
    retryable: random.chance(0.5),
    meanwhile: Array.from({ length: 1 + random.below(2) }, () => meanwhile(random, wishes)),
    afterwards: random.chance(0.15) ? random.pick([...EXITS, 'loses its disk' as const]) : null,
  }));
}

function meanwhile(random: Prng, wishes: readonly string[]): Meanwhile {
  const kind = random.below(10);
  if (kind < 3) return { type: 'cancel' };
  if (kind < 5) return { type: 'exit', as: random.pick(EXITS) };
  const strong = ['hardReboot', 'forceStop', 'delete', 'forceDelete'];
  return { type: 'wish', wish: random.pick(kind < 8 ? strong : wishes.filter((each) => !each.startsWith('resetTo'))) };
}

/** The trouble of a step for the wish that it came to. */
export function troubleOf(step: Step, rule: Rule): Trouble {
  const point = rule.points[Math.floor(step.troubleDraw * rule.points.length)];
  if (step.trouble === 'slow') return { type: 'slow', ms: 20 };
  if (step.trouble === 'none' || point === undefined) return { type: 'none' };
  if (step.trouble === 'hangs') return { type: 'hangs', point };
  return { type: 'fails', point, times: step.times, retryable: step.retryable };
}
