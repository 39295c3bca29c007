/** Start, stop, reboot, pause, suspend, and back. */
import { Type } from 'typebox';
import type { RebootInput, StopInput } from '#contracts/operation-inputs.ts';
import type { OperationKind } from '#domain/operation/operation.ts';
import { accept, graceMsOf, isRunning } from '../accept.ts';
import { type Action, action } from './action.ts';

/** Clients send null, `{}`, or nothing of meaning. */
const Anything = Type.Unknown();

const plain = (kind: OperationKind, doc: string): Action =>
  action({
    doc,
    argument: Anything,
    handle: async (deps, request, row) => {
      await accept(deps, request, row, { kind });
      return {};
    },
  });

/** `{"type": "HARD"}`, as a reboot has it, is Micronova's own: no time for the guest. Anything else is as in Nova. */
function isHard(argument: unknown): boolean {
  const type = typeof argument === 'object' && argument !== null && 'type' in argument ? argument.type : null;
  return typeof type === 'string' && type.toUpperCase() === 'HARD';
}

const stop = action({
  doc: 'Shuts the guest off; `{"type": "HARD"}` at once, also while one waits for the guest.',
  argument: Anything,
  handle: async (deps, request, row, argument) => {
    const hard = isHard(argument);
    const input: StopInput = { graceMs: hard ? 0 : graceMsOf(deps, row), wasRunning: isRunning(row) };
    await accept(deps, request, row, { kind: hard ? 'forceStop' : 'stop', input });
    return {};
  },
});

const reboot = action({
  doc: 'Reboots: SOFT asks the guest, HARD gives it a new process.',
  argument: Type.Object(
    { type: Type.Enum(['SOFT', 'Soft', 'soft', 'HARD', 'Hard', 'hard']) },
    { additionalProperties: false },
  ),
  handle: async (deps, request, row, wanted) => {
    if (isHard(wanted)) await accept(deps, request, row, { kind: 'hardReboot' });
    else {
      const input: RebootInput = { graceMs: graceMsOf(deps, row) };
      await accept(deps, request, row, { kind: 'reboot', input });
    }
    return {};
  },
});

export const powerActions: Readonly<Record<string, Action>> = {
  'os-start': plain('start', 'Starts a server that is shut off.'),
  'os-stop': stop,
  reboot,
  pause: plain('pause', 'Stops the processors.'),
  unpause: plain('unpause', 'Lets the processors go on.'),
  suspend: plain('suspend', 'Writes the memory to disk.'),
  resume: plain('resume', 'Goes on with the memory from disk.'),
};
