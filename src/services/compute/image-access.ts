/** How an agent without a record comes to the images: its conductor says where they are, and lends it a token. */
import type { Client } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';

/** A token that the conductor hands out is good for longer than that. */
const ASK_AGAIN_MS = 300_000;

interface Access {
  readonly url: string;
  readonly token: string;
}

/** Asks when something is needed and what it knows is old. Rejects as the call does when no conductor answers. */
export function remoteImageAccess(
  conductor: Client<typeof conductorContract>,
  now: () => number = Date.now,
): { readonly url: () => Promise<string>; readonly token: () => Promise<string> } {
  let known: { readonly access: Promise<Access>; readonly askedAt: number } | null = null;
  const access = (): Promise<Access> => {
    if (known && now() - known.askedAt < ASK_AGAIN_MS) return known.access;
    const asked = { access: conductor.imageAccess({}), askedAt: now() };
    known = asked;
    asked.access.catch(() => {
      if (known === asked) known = null;
    });
    return asked.access;
  };
  return { url: async () => (await access()).url, token: async () => (await access()).token };
}
