/** The console proxy: whom a token lets in, how many of them, and that a serial line has one viewer at a time. */
import type { Database } from '#db/database.ts';
import { findConsoleToken } from '#db/repo/console-tokens.ts';
import { findServer } from '#db/repo/servers.ts';
import type { ConsoleTokenRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import type { Admitted } from '#http/websocket.ts';
import type { Log } from '#observe/log.ts';
import type { ConsoleStreams } from './console-streams.ts';
import { Session } from './session.ts';

/** Viewers of one server at a time: one token may open many consoles, and all users share what this process has. */
const MAX_SESSIONS = 10;

export interface ConsoleDeps {
  readonly db: Database;
  readonly streams: ConsoleStreams;
  readonly now: () => number;
  readonly log: Log;
}

interface Granted {
  readonly serverId: string;
  readonly host: string;
  readonly kind: ConsoleTokenRow['kind'];
}

export class ConsoleProxy {
  readonly #deps: ConsoleDeps;
  /** The last to have asked for each server's line. */
  readonly #serialLines = new Map<string, Promise<Session>>();
  /** How many viewers each server has, or is about to have. */
  readonly #sessions = new Map<string, number>();

  constructor(deps: ConsoleDeps) {
    this.#deps = deps;
  }

  /**
   * What a token opens now. Throws 401 for one that is wrong or has expired, 404 when the server is gone, and 409 when it has
   * no console at the moment, or too many viewers.
   */
  async check(token: string | null): Promise<Granted> {
    const { db, now } = this.#deps;
    const grant = token === null ? undefined : await findConsoleToken(db.queries, token, now());
    if (!grant) throw new CloudError('unauthorized', {});
    const { server_id: id, kind } = grant;
    const row = await findServer(db.queries, id, null);
    if (!row) throw new CloudError('instanceNotFound', { id });
    // Who made the token was allowed to; a lock does not matter here.
    const instance = { id, vmState: row.vm_state, taskState: row.task_state, locked: false };
    checkAllowed(kind === 'serial' ? 'serialConsole' : 'vncConsole', instance, { isAdmin: false });
    if (row.host === null) throw new CloudError('instanceNotReady', { id });
    const granted = { serverId: id, host: row.host, kind };
    this.#requireRoom(granted);
    return granted;
  }

  /** Connects to the guest for a viewer whose handshake waits for it. */
  async admit(token: string | null): Promise<Admitted> {
    const { log } = this.#deps;
    const granted = await this.check(token);
    const { serverId, kind } = granted;
    this.#requireRoom(granted);
    this.#count(serverId, +1);
    let session: Session;
    try {
      session = await (kind === 'serial' ? this.#takeSerialLine(granted) : this.#open(granted, 'vnc'));
    } catch (error) {
      this.#count(serverId, -1);
      throw error;
    }
    const about = { instance_id: serverId, kind };
    log.info(about, 'console opened');
    session.onEnd(() => {
      this.#count(serverId, -1);
      log.info(about, 'console closed');
    });
    return { begin: (socket) => session.begin(socket), abandon: () => session.end() };
  }

  #requireRoom({ serverId, kind }: Granted): void {
    // Whoever takes the line over is no further viewer.
    if (kind === 'serial' && this.#serialLines.has(serverId)) return;
    if ((this.#sessions.get(serverId) ?? 0) < MAX_SESSIONS) return;
    const reason = `Instance ${serverId} has ${MAX_SESSIONS} open consoles already. Close one of them and try again.`;
    throw new CloudError('conflict', { reason });
  }

  #count(serverId: string, change: 1 | -1): void {
    const sessions = (this.#sessions.get(serverId) ?? 0) + change;
    if (sessions > 0) this.#sessions.set(serverId, sessions);
    else this.#sessions.delete(serverId);
  }

  async #open({ host, serverId }: Granted, kind: 'vnc' | 'serial'): Promise<Session> {
    return new Session(await this.#deps.streams.open(host, serverId, kind));
  }

  /** One after the other for each server: the guest would end the connection of whoever came first. */
  #takeSerialLine(granted: Granted): Promise<Session> {
    const { serverId } = granted;
    const before = this.#serialLines.get(serverId) ?? Promise.resolve(null);
    const taken = before
      .catch(() => null)
      .then((session) => {
        session?.takeOver();
        return this.#open(granted, 'serial');
      });
    this.#serialLines.set(serverId, taken);
    const forget = () => {
      if (this.#serialLines.get(serverId) === taken) this.#serialLines.delete(serverId);
    };
    taken.then((session) => session.onEnd(forget), forget);
    return taken;
  }
}
