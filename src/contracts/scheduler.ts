/** What a conductor asks of the scheduler. */
import { Type } from 'typebox';
import { contract } from './contract.ts';
import { Id, Nothing, Resources } from './guest.ts';

export const schedulerContract = contract('scheduler', {
  claimHost: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      resources: Resources,
      availabilityZone: Type.Union([Type.String(), Type.Null()]),
      /** Only this host will do; null for any. */
      host: Type.Union([Type.String(), Type.Null()]),
      /** Properties of the image that limit where it runs: `hw_architecture`, `img_hv_type`. */
      imageProperties: Type.Record(Type.String(), Type.String()),
      /** The server group whose policy the choice obeys. */
      serverGroupId: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      /** Extra specs of the flavor, some of which ask for certain hosts. */
      extraSpecs: Type.Optional(Type.Record(Type.String(), Type.String())),
      /** Servers on whose hosts it shall not be. */
      differentHost: Type.Optional(Type.Array(Type.String())),
      /** Servers with one of which it shall share a host. */
      sameHost: Type.Optional(Type.Array(Type.String())),
      /** The server moves: what it holds is kept until the claim is settled or reverted, on this host only if it may stay there. */
      move: Type.Optional(Type.Object({ from: Type.String(), mayStay: Type.Boolean() })),
    }),
    output: Type.Object({
      host: Type.String(),
      availabilityZone: Type.String(),
      /** How many hosts were looked at before this one was found. */
      considered: Type.Integer(),
    }),
    doc: 'Picks a host and claims the room on it in one step. A server that has a claim keeps it. Fails with `noValidHost` and the count per reason.',
  },
  releaseHost: {
    kind: 'call',
    timeout: 'fast',
    input: Type.Object({ serverId: Id }),
    output: Nothing,
    doc: 'Gives all that the server holds back. Without a claim: nothing.',
  },
  settleMove: {
    kind: 'call',
    timeout: 'fast',
    input: Type.Object({ serverId: Id }),
    output: Nothing,
    doc: 'Gives back what a moved server still holds where it came from. Not moved: nothing.',
  },
  revertMove: {
    kind: 'call',
    timeout: 'fast',
    input: Type.Object({ serverId: Id }),
    output: Nothing,
    doc: 'Gives back what a moved server holds where it was put; it holds again what it did before. Not moved: nothing.',
  },
});
