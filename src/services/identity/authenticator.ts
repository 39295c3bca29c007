/**
 * The port through which every service of this process asks who is calling.
 *
 * It is on the way of every request: a token seen before costs a map look-up. What this process changes counts at
 * once, what another one changes at most `STALE_AFTER_MS` later.
 */
import type { AuthContext, Authenticator } from '#http/auth.ts';
import type { TokenAuthority } from './token/authority.ts';

/** An authenticator on the record itself, for processes that have the database. */
export function authenticator(deps: { readonly tokens: TokenAuthority }): Authenticator {
  const { tokens } = deps;
  return (token): AuthContext | null | Promise<AuthContext | null> => {
    const verified = tokens.verify(token);
    if (verified instanceof Promise) return verified.then((known) => known?.auth ?? null);
    return verified?.auth ?? null;
  };
}
