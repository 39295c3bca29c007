/**
 * What the record must say when a guest is found in another state than it says: the guest is right, since it is what its
 * owner can see. Nothing is ever destroyed or started here; a server whose guest cannot live any more goes to ERROR.
 */
import type { OperationKind } from '../operation/operation.ts';
import { POWER_STATES, type VmState } from './states.ts';

/** A guest as its host found it. */
export interface FoundGuest {
  readonly state: 'absent' | 'stopped' | 'running' | 'paused' | 'suspended' | 'crashed';
  /** Why, where the host knows. */
  readonly reason: string | null;
  /** It ran when the host went down. */
  readonly lostWithHost: boolean;
  /** What is missing of its files. */
  readonly damage: string | null;
}

export interface Correction {
  readonly vmState: VmState;
  readonly powerState: number;
  /**
   * The operation that would have led there: what the owner reads among the actions of the server; null where only the power
   * state was wrong.
   */
  readonly as: OperationKind | null;
  /** In words for the owner. */
  readonly reason: string;
}

/** States of servers whose guest lies on a host and has nothing else to say what it does. */
const LOOKED_AT: ReadonlySet<VmState> = new Set([
  'active',
  'stopped',
  'paused',
  'suspended',
  'rescued',
  'resized',
  'error',
]);
/** These say more than what the guest does: they stay until somebody ends them. */
const LASTING: ReadonlySet<VmState> = new Set(['rescued', 'resized', 'error']);

/** What each state of a guest is called in the record: by itself, as a number, and as what would have led there. */
const FOUND = {
  running: { vmState: 'active', powerState: POWER_STATES.running, as: 'start' },
  paused: { vmState: 'paused', powerState: POWER_STATES.paused, as: 'pause' },
  suspended: { vmState: 'suspended', powerState: POWER_STATES.shutdown, as: 'suspend' },
  stopped: { vmState: 'stopped', powerState: POWER_STATES.shutdown, as: 'stop' },
  crashed: { vmState: 'stopped', powerState: POWER_STATES.crashed, as: 'stop' },
  absent: { vmState: 'error', powerState: POWER_STATES.none, as: 'stop' },
} as const satisfies Record<FoundGuest['state'], Correction | Omit<Correction, 'reason'>>;

/** The correction, or null where the record is right or says nothing about a guest. */
export function correctionOf(
  record: { readonly vmState: VmState; readonly powerState: number },
  found: FoundGuest,
): Correction | null {
  const { vmState, powerState } = record;
  if (!LOOKED_AT.has(vmState)) return null;
  const { state } = found;
  const seen = FOUND[state];
  const isOff = state === 'stopped' || state === 'crashed' || state === 'suspended';
  const loss = state === 'absent' ? 'its files are gone from the host' : isOff ? found.damage : null;
  if (loss !== null && vmState !== 'error') {
    const lost = { ...FOUND.absent, powerState: seen.powerState, reason: loss };
    if (vmState !== 'resized') return lost;
    // What was moved is still there where it came from: reverting brings it back.
    return powerState === seen.powerState ? null : { ...lost, vmState };
  }
  if (seen.powerState === powerState && (LASTING.has(vmState) || seen.vmState === vmState)) return null;
  const reason = whyOf(vmState, found);
  if (vmState === 'error' || seen.vmState === vmState)
    return { vmState, powerState: seen.powerState, as: null, reason };
  // Off or not, it is rescued until its own disk is the first again, and moved until that is confirmed or reverted.
  return { ...seen, as: asOf(vmState, state), ...(LASTING.has(vmState) && { vmState }), reason };
}

function asOf(vmState: VmState, state: FoundGuest['state']): OperationKind {
  if (state !== 'running') return FOUND[state].as;
  return vmState === 'paused' ? 'unpause' : vmState === 'suspended' ? 'resume' : 'start';
}

function whyOf(vmState: VmState, { state, reason, lostWithHost }: FoundGuest): string {
  if (reason !== null) return reason;
  if (state === 'running' || state === 'paused' || state === 'suspended') return `the guest was found ${state}`;
  if (lostWithHost) return 'the host restarted while the guest ran';
  if (vmState === 'suspended') return 'the memory of the suspended guest is not on the host any more';
  return state === 'crashed' ? 'the guest’s process died' : 'the guest powered off';
}
