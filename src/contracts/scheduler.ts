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
    doc: 'Gives the server’s claim back. Without a claim: nothing.',
  },
});
