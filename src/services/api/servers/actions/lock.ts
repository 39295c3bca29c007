/** Lock and unlock: done at once, and kept among the actions of the server. */
import { type TSchema, Type } from 'typebox';
import { recordAction } from '#db/repo/operations.ts';
import { type ServerPatch, updateServer } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { Versioned } from '#http/route.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { guarded } from '../accept.ts';
import { type Action, type ActionRequest, action } from './action.ts';

const Reason = Type.Object(
  { locked_reason: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })) },
  { additionalProperties: false },
);

const LockArgument: Versioned<TSchema> = [
  { from: 1, schema: Type.Unknown() },
  { from: 73, schema: Type.Union([Type.Null(), Reason]) },
];

const lock = action({
  doc: 'Holds off every change by others than administrators.',
  argument: LockArgument,
  handle: async (deps, request, row, argument) => {
    const wanted = request.version >= 73 ? (argument as { locked_reason?: string } | null) : null;
    await change(deps, request, row, 'lock', {
      locked: 1,
      locked_reason: wanted?.locked_reason ?? null,
      locked_by: caller(request).isAdmin ? 'admin' : 'owner',
    });
    return {};
  },
});

const unlock = action({
  doc: 'Ends a lock; an administrator’s only by an administrator.',
  argument: Type.Unknown(),
  handle: async (deps, request, row) => {
    if (row.locked_by === 'admin' && !caller(request).isAdmin)
      throw new CloudError('policyForbids', { rule: 'os_compute_api:os-lock-server:unlock:unlock_override' });
    await change(deps, request, row, 'unlock', { locked: 0, locked_reason: null, locked_by: null });
    return {};
  },
});

async function change(
  { db, now }: ApiDeps,
  request: ActionRequest,
  row: ServerRow,
  kind: 'lock' | 'unlock',
  patch: ServerPatch,
): Promise<void> {
  checkAllowed(kind, guarded(row), caller(request));
  const action = { kind, serverId: row.id, projectId: row.project_id, userId: caller(request).userId };
  await db.commit(async (trx) => {
    await updateServer(trx, row.id, patch, now());
    await recordAction(trx, { ...action, requestId: request.requestId, details: null, error: null }, now());
  });
}

export const lockActions: Readonly<Record<string, Action>> = { lock, unlock };
