/**
 * Holding a guest's file systems still for a moment, through its agent.
 *
 * A guest that stays frozen is as good as dead, so before it is asked a note is made (`own/frozen`), which goes when the guest
 * is thawed. Whoever attaches to the guest and finds the note thaws it.
 *
 * An agent may hang at any word. One who wants the guest frozen waits for it only so long; what is left to do after that is done
 * beside everything else.
 */

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DriverError } from '../driver-error.ts';
import type { KeyedLock } from '../keyed-lock.ts';
import { FILES } from './argv.ts';
import { type AgentLimit, GuestAgent } from './guest-agent.ts';
import { readOwn, removeOwn, writeOwn } from './own-folder.ts';

const NOTE = 'frozen';
const THAW_TRIES = 5;
const THAW_PAUSE_MS = 1_000;
const THAW_TRY_MS = 10_000;
/** From asking for the agent to a guest that is frozen. */
const FREEZE_MS = 8_000;
/** One that thaws does so at once, or it does not matter any more who waits for it. */
const THAW_MS = 2_000;
const THAW_ABORTED_MS = 500;

/** Does something while the file systems stand still; answers whether they did. The signal ends the waiting for that. */
export type Quiesce = (moment: () => Promise<void>, signal: AbortSignal) => Promise<boolean>;

/** For guests without an agent, and for those that stand still anyway. */
export const asItIs: Quiesce = async (moment) => {
  await moment();
  return false;
};

/** For a running guest with an agent. `needed`: rejects with `guest_agent`, and nothing done, where it cannot be frozen. */
export function throughAgent(
  dir: string,
  locks: KeyedLock,
  options: { readonly needed: boolean; readonly onUnthawed: (error: unknown) => void },
): Quiesce {
  return async (moment, signal) => {
    const limit: AgentLimit = { deadline: Date.now() + FREEZE_MS, signal };
    const release = await turn(dir, locks, limit);
    let agent: GuestAgent | undefined;
    let noted = false;
    try {
      try {
        if (!release) throw new DriverError('guest_agent', "The guest's agent is busy");
        agent = await GuestAgent.connect(join(dir, FILES.agent), limit);
        await writeOwn(dir, NOTE, '');
        noted = true;
        if ((await freeze(agent)) > 0) {
          await moment();
          return true;
        }
        if (options.needed) throw new DriverError('guest_agent', 'The guest has nothing that can be frozen');
      } catch (error) {
        if (options.needed || !isAgentError(error)) throw error;
      }
      await moment();
      return false;
    } finally {
      const patience = { deadline: Date.now() + (signal.aborted ? THAW_ABORTED_MS : THAW_MS) };
      try {
        if (noted) await thaw(dir, patience, agent?.isOpen ? agent : undefined);
      } catch (error) {
        if (!isAgentError(error)) options.onUnthawed(error);
      } finally {
        agent?.close();
        release?.();
      }
      // It may have taken too long, or the guest may freeze yet.
      if (noted) void thawIfNoted(dir, locks).catch(options.onUnthawed);
    }
  };
}

/** Thaws a guest if somebody froze it and did not come to thawing it. */
export async function thawIfNoted(dir: string, locks: KeyedLock): Promise<void> {
  if ((await readOwn(dir, NOTE)) === null) return;
  await locks.run(dir, async () => {
    for (let left = THAW_TRIES; (await readOwn(dir, NOTE)) !== null; left -= 1) {
      try {
        return await thaw(dir, { deadline: Date.now() + THAW_TRY_MS });
      } catch (error) {
        if (left <= 1 || !isAgentError(error)) throw error;
        await delay(THAW_PAUSE_MS);
      }
    }
  });
}

/** A guest that boots is not frozen, whatever it was before. */
export async function forgetFreeze(dir: string): Promise<void> {
  await removeOwn(dir, NOTE);
}

/** Sets a user's password. `guest_agent` when that fails. */
export async function setPassword(dir: string, locks: KeyedLock, user: string, password: string): Promise<void> {
  await locks.run(dir, async () => {
    const agent = await GuestAgent.connect(join(dir, FILES.agent));
    try {
      const encoded = Buffer.from(password).toString('base64');
      await agent.execute('guest-set-user-password', { username: user, password: encoded, crypted: false });
    } finally {
      agent.close();
    }
  });
}

/** Answers how many file systems stand still. Failed, it ends the conversation: the agent may yet answer, and freeze. */
async function freeze(agent: GuestAgent): Promise<number> {
  try {
    return await agent.execute('guest-fsfreeze-freeze');
  } catch (error) {
    agent.close();
    throw error;
  }
}

/** In a conversation that is open already, or in one of its own. Ends it. */
async function thaw(dir: string, limit: AgentLimit, open?: GuestAgent): Promise<void> {
  const agent = open ?? (await GuestAgent.connect(join(dir, FILES.agent), limit));
  try {
    agent.limit = limit;
    if ((await agent.execute('guest-fsfreeze-status')) !== 'thawed') await agent.execute('guest-fsfreeze-thaw');
    await forgetFreeze(dir);
  } finally {
    agent.close();
  }
}

/** Waits until nobody else speaks with the agent; answers how to let it go again, or null when that took too long. */
async function turn(dir: string, locks: KeyedLock, limit: AgentLimit): Promise<(() => void) | null> {
  const begun = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  void locks.run(dir, () => {
    begun.resolve();
    return over.promise;
  });
  const waiting = new AbortController();
  const signal = limit.signal ? AbortSignal.any([waiting.signal, limit.signal]) : waiting.signal;
  const late = delay(limit.deadline - Date.now(), null, { signal });
  try {
    const has = await Promise.race([begun.promise.then(() => true), late]);
    if (has) return over.resolve;
  } catch (error) {
    over.resolve();
    throw error;
  } finally {
    late.catch(() => undefined); // ended by us
    waiting.abort();
  }
  over.resolve();
  return null;
}

function isAgentError(error: unknown): boolean {
  return error instanceof DriverError && error.code === 'guest_agent';
}
