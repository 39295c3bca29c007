/** What administrators do to a server's record, and what is done to a guest's kernel. */
import { Type } from 'typebox';
import { computeContract } from '#contracts/compute.ts';
import { abandonStuck, recordAction } from '#db/repo/operations.ts';
import { changeIdleServer } from '#db/repo/servers.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import { guarded } from '../accept.ts';
import { type Action, action } from './action.ts';

const resetState = action({
  doc: 'Says what state the server is in, while nothing works on it. What needed attention is abandoned.',
  argument: Type.Object({ state: Type.Enum(['active', 'error']) }, { additionalProperties: false }),
  handle: async ({ db, now }, request, row, { state }) => {
    checkAllowed('resetState', guarded(row), caller(request));
    const { userId } = caller(request);
    const { requestId } = request;
    await db.transaction(async (trx) => {
      const patch = { vm_state: state, operation_id: null, ...(state === 'active' && { fault: null }) } as const;
      if (!(await changeIdleServer(trx, row, patch, now())))
        throw new CloudError('instanceChanged', { id: row.id, action: 'resetState' });
      await abandonStuck(trx, row.id, now());
      const action = { serverId: row.id, projectId: row.project_id, userId, requestId };
      await recordAction(trx, { ...action, kind: 'resetState', details: `state ${state}`, error: null }, now());
    });
    return {};
  },
});

const crashDump = action({
  doc: 'Interrupts the guest’s kernel, which dumps its memory if it was set up for that.',
  argument: Type.Unknown(),
  from: 17,
  handle: async ({ db, rpc, now }, request, row) => {
    checkAllowed('trigger_crash_dump', guarded(row), caller(request));
    if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
    await rpc.client(computeContract, 'nova-api', row.host).injectNmi({ serverId: row.id });
    const { userId } = caller(request);
    const action = { serverId: row.id, projectId: row.project_id, userId, requestId: request.requestId };
    await recordAction(db.queries, { ...action, kind: 'trigger_crash_dump', details: null, error: null }, now());
    return {};
  },
});

export const adminActions: Readonly<Record<string, Action>> = {
  'os-resetState': resetState,
  trigger_crash_dump: crashDump,
};
