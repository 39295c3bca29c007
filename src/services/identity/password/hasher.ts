/**
 * Password hashes: argon2id off the event loop, a few at a time.
 *
 * One hash takes 19 MiB and tens of ms of a core, so that at most `concurrency` run and `waiting` wait; beyond that the
 * caller gets 503 and may come again. Checking against no hash at all costs the same as against a real one: the time of
 * a refusal does not tell whether the user exists.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { CloudError } from '#domain/errors.ts';
import { type Argon2Parameters, fromPhc, toPhc } from './phc.ts';

const COST: Argon2Parameters = { memoryKib: 19456, passes: 2, parallelism: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

export interface PasswordHasher {
  /** The PHC string to keep. Throws `serviceUnavailable` when too many wait. */
  hash(password: string): Promise<string>;
  /** False for a wrong password and for a user without one (null), after the same work. Throws as `hash`. */
  verify(password: string, phc: string | null): Promise<boolean>;
}

export interface HasherOptions {
  readonly concurrency?: number;
  readonly waiting?: number;
  /** Of new hashes; OWASP's choice for argon2id where not given. Tests take less. */
  readonly cost?: Argon2Parameters;
}

export function passwordHasher(options: HasherOptions = {}): PasswordHasher {
  const turn = gate(options.concurrency ?? 2, options.waiting ?? 64);
  const cost = options.cost ?? COST;
  // Of the right form and cost, and of no password that anybody knows.
  const nobody = toPhc({ ...cost, salt: Buffer.alloc(SALT_BYTES), hash: Buffer.alloc(HASH_BYTES) });
  return {
    async hash(password) {
      const salt = randomBytes(SALT_BYTES);
      const hash = await turn(() => derive(password, salt, HASH_BYTES, cost));
      return toPhc({ ...cost, salt, hash });
    },
    async verify(password, phc) {
      const known = fromPhc(phc ?? nobody);
      if (!known) throw new Error('a stored password hash is not in PHC form');
      const hash = await turn(() => derive(password, known.salt, known.hash.length, known));
      return timingSafeEqual(hash, known.hash) && phc !== null;
    },
  };
}

function derive(password: string, salt: Buffer, bytes: number, cost: Argon2Parameters): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const input = {
    message: password,
    nonce: salt,
    tagLength: bytes,
    memory: cost.memoryKib,
    passes: cost.passes,
    parallelism: cost.parallelism,
  };
  argon2('argon2id', input, (error, hash) => (error ? reject(error) : resolve(hash)));
  return promise;
}

/** Runs at most `concurrency` works at once and lets at most `waiting` wait, first come first served. */
function gate(concurrency: number, waiting: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const queue: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running < concurrency) running += 1;
    else {
      if (queue.length >= waiting)
        throw new CloudError('serviceUnavailable', { reason: 'Too many passwords are being checked. Try again.' });
      // Whoever finishes hands its place over, so that `running` stays as it is.
      await new Promise<void>((resolve) => queue.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
