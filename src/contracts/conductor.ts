/** What an api, an agent and an operator tell the conductor. */
import { Type } from 'typebox';
import { contract } from './contract.ts';
import { GuestStateName, Id, Nothing, Resources } from './guest.ts';

export const conductorContract = contract('conductor', {
  operationReady: {
    kind: 'cast',
    timeout: 'fast',
    input: Type.Object({ operationId: Id }),
    output: Nothing,
    doc: 'An operation was accepted, resumed or is to be cancelled: look at it now. A hint; the conductor also looks by itself.',
  },
  awaitStep: {
    kind: 'call',
    timeout: 'slow',
    input: Type.Object({ operationId: Id, step: Type.String() }),
    output: Nothing,
    doc: 'Answers when the step is done, or fails as the operation failed.',
  },
  registerHost: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({
      host: Type.String(),
      availabilityZone: Type.String(),
      contractVersion: Type.Integer(),
      capacity: Resources,
      hypervisorType: Type.String(),
      hypervisorVersion: Type.Integer(),
      cpuModel: Type.String(),
      cpuArch: Type.String(),
      /** Guests found on the host. */
      guests: Type.Array(Type.Object({ serverId: Id, state: GuestStateName })),
    }),
    output: Type.Object({
      /** Guests of servers that were deleted while the host was away: to be removed. */
      deleted: Type.Array(Id),
    }),
    doc: 'An agent is there and says what its host has. Fails with `contractMismatch` when it speaks another version.',
  },
  heartbeat: {
    kind: 'cast',
    timeout: 'fast',
    input: Type.Object({ host: Type.String() }),
    output: Nothing,
    doc: 'The host’s agent lives.',
  },
  guestChanged: {
    kind: 'cast',
    timeout: 'fast',
    input: Type.Object({ host: Type.String(), serverId: Id, state: GuestStateName, reason: Type.String() }),
    output: Nothing,
    doc: 'A guest changed its state and nobody asked for it.',
  },
});
