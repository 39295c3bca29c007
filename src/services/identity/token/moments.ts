/**
 * Times for tokens and revocations that never tie the wrong way.
 *
 * A revocation refuses what was issued up to its moment, that moment included. A clock counts whole ms, so that a login
 * right after a change of password could fall into the same one and be refused; here what comes later is later, and
 * the times run ahead of the clock by no more ms than revocations happen within one.
 */
export interface Moments {
  /**
   * When a token to be made counts from: after every revocation so far. Taken *before* the user is looked at, so that
   * whatever is revoked while a password is checked covers the token that comes of it.
   */
  toIssue(): number;
  /** Up to when a revocation made now reaches: every token so far. */
  toRevoke(): number;
}

/** `clock` tells epoch ms. */
export function moments(clock: () => number): Moments {
  let lastIssued = 0;
  let lastRevoked = 0;
  return {
    toIssue() {
      const moment = Math.max(clock(), lastRevoked + 1);
      lastIssued = Math.max(lastIssued, moment);
      return moment;
    },
    toRevoke() {
      lastRevoked = Math.max(clock(), lastIssued, lastRevoked);
      return lastRevoked;
    },
  };
}
