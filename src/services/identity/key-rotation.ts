/** Signs tokens with a new key each day, so that a key that leaked is worth little for long. */
import type { IdentityDeps } from './identity-deps.ts';
import { rotateSigningKeys } from './token/signing-keys.ts';

const DAY_MS = 86_400_000;

/** Rotates daily until the returned function is called. */
export function keepRotatingKeys(deps: IdentityDeps): () => void {
  const timer = setInterval(() => {
    rotateSigningKeys(deps).catch((error: unknown) => deps.log.error({ err: error }, 'signing keys not rotated'));
  }, DAY_MS).unref();
  return () => clearInterval(timer);
}
