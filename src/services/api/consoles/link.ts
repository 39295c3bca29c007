/** Making the URL that opens a console: whether this server has one now, a token for it, and where the proxy is. */
import { insertConsoleToken } from '#db/repo/console-tokens.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { guarded } from '../servers/accept.ts';

export type ConsoleType = 'novnc' | 'serial';

/** How long a link is good for where the configuration does not say it. */
const DEFAULT_TOKEN_MS = 600_000;

/** With a process behind it there is a screen and a serial line. */
const WITH_PROCESS: readonly number[] = [POWER_STATES.running, POWER_STATES.paused];

/**
 * Answers the URL. Throws 409 where the server has no console now.
 *
 * `novnc` names its WebSocket in `path`, without the first slash, as noVNC's own pages do: clients without a browser
 * connect there. `serial` is the WebSocket itself, as Nova has it; the same address with `http` shows a page with a
 * terminal.
 */
export async function consoleLink(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  row: ServerRow,
  type: ConsoleType,
): Promise<string> {
  checkAllowed(type === 'serial' ? 'serialConsole' : 'vncConsole', guarded(row), caller(request));
  if (row.host === null || !WITH_PROCESS.includes(row.power_state))
    throw new CloudError('instanceNotReady', { id: row.id });
  const now = deps.now();
  const grant = { server_id: row.id, kind: type, expires_at: now + (deps.consoleTokenMs ?? DEFAULT_TOKEN_MS) };
  const token = await deps.db.commit((trx) => insertConsoleToken(trx, grant, now));
  const cloud = request.base.replace(/\/compute$/, '');
  if (type === 'serial') return `${cloud.replace(/^http/, 'ws')}/console/serial?token=${token}`;
  return `${cloud}/console/novnc?path=${encodeURIComponent(`console/ws?token=${token}`)}`;
}
