/** What an api, an agent and an operator tell the conductor. */
import { Type } from 'typebox';
import type { GuestFacts } from '#domain/metadata/facts.ts';
import { contract } from './contract.ts';
import { GuestStateName, GuestsFound, Id, Nothing, Resources } from './guest.ts';
import { HostNetwork } from './host-network.ts';

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
      /** How it runs networks; not at all where it is missing. */
      networkKind: Type.Optional(Type.Enum(['rooted', 'rootless', 'none'])),
      /** Where other hosts' tunnels end; empty or missing: it has none. */
      networkAddress: Type.Optional(Type.String()),
      /** Where other hosts reach it. */
      address: Type.Optional(Type.String()),
      /** When the machine began to run, epoch ms. */
      bootedAt: Type.Optional(Type.Integer()),
      /** Guests found on the host. */
      guests: GuestsFound,
    }),
    output: Type.Object({
      /** Guests of servers that were deleted while the host was away: to be removed. */
      deleted: Type.Array(Id),
    }),
    doc: 'An agent is there and says what its host has. Fails with `contractMismatch` when it speaks another version.',
  },
  hostNetwork: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({
      host: Type.String(),
      /** Of the plan that the agent has. */
      revision: Type.Optional(Type.String()),
      /** A guest of the host is about to be on a network: the other hosts there have to know. */
      isJoining: Type.Optional(Type.Boolean()),
    }),
    output: Type.Object({
      revision: Type.String(),
      /** Missing where the agent has it. */
      plan: Type.Optional(HostNetwork),
    }),
    doc: 'What the networks of the host shall be.',
  },
  guestMetadata: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({ host: Type.String(), portId: Id }),
    /** The agent makes all answers of it. */
    output: Type.Object({ facts: Type.Unsafe<GuestFacts | null>(Type.Any()) }),
    doc: 'What the guest behind a port of that host may know of itself; null where there is none.',
  },
  imageAccess: {
    kind: 'call',
    timeout: 'normal',
    input: Nothing,
    output: Type.Object({ url: Type.String(), token: Type.String() }),
    doc: 'Where the image service is, and a token of the service user that is good for ten minutes at least.',
  },
  heartbeat: {
    kind: 'cast',
    timeout: 'fast',
    input: Type.Object({ host: Type.String() }),
    output: Nothing,
    doc: 'The host’s agent lives.',
  },
  guestsFound: {
    kind: 'cast',
    timeout: 'fast',
    input: Type.Object({ host: Type.String(), guests: GuestsFound }),
    output: Nothing,
    doc: 'All guests of the host, told now and then: what does not fit the record is looked at again.',
  },
  guestChanged: {
    kind: 'cast',
    timeout: 'fast',
    input: Type.Object({ host: Type.String(), serverId: Id, state: GuestStateName, reason: Type.String() }),
    output: Nothing,
    doc: 'A guest changed its state and nobody asked for it.',
  },
});
