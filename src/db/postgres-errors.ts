/** What errors of PostgreSQL and of the way to it mean for a caller. */
import { CloudError } from '#domain/errors.ts';

const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';

/** True when the transaction was given up for the sake of others; it has written nothing and may be run again. */
export function isContention(error: unknown): boolean {
  const code = codeOf(error);
  return code === SERIALIZATION_FAILURE || code === DEADLOCK;
}

/** Nobody is there, or nobody who can serve us now. Each may end without our doing anything. */
const AWAY: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  '57P01', // the server is shut down
  '57P02', // the server crashed
  '57P03', // the server is starting
  '53300', // too many connections
  '25P03', // the transaction stood still for too long
  '25006', // a standby, which takes over soon
  '3D000', // the database is not made yet
]);
const CONNECTION_EXCEPTION = /^08/;
/** Said by `pg` itself, without a code. */
const AWAY_TEXT =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed)/;

/** The statement or the wait for a lock took too long. */
const SLOW: ReadonlySet<string> = new Set(['57014', '55P03']);
/** The server knows us not, or refuses us; waiting changes nothing. */
const REFUSED: ReadonlySet<string> = new Set(['28P01', '28000', '42501']);
/** Said by `pg` and by Node, without a code of PostgreSQL: the server has no TLS, or shows a certificate that is not believed. */
const NO_TRUST = /^The server does not support SSL connections|certificate|^Hostname\/IP does not match/;
/** A value that a column cannot hold. */
const OUT_OF_RANGE = '22003';

/** The address of the database is none; the error holds it, password and all. */
const NO_URL = 'ERR_INVALID_URL';

/** The error as our catalogue has it; what says nothing about connections or values stays as it is. */
export function named(error: unknown): unknown {
  const code = codeOf(error);
  if (code === NO_URL) return new CloudError('databaseRefused', { reason: 'its address is no URL' });
  const { message } = error as Error;
  if (AWAY.has(code) || CONNECTION_EXCEPTION.test(code) || AWAY_TEXT.test(message))
    return new CloudError('databaseUnavailable', { reason: message || code }, { cause: error });
  if (SLOW.has(code)) return new CloudError('databaseUnavailable', { reason: 'it is too busy' }, { cause: error });
  if (REFUSED.has(code) || NO_TRUST.test(message))
    return new CloudError('databaseRefused', { reason: message }, { cause: error });
  if (code === OUT_OF_RANGE)
    return new CloudError('badRequest', { reason: 'A number is larger than can be kept.' }, { cause: error });
  return error;
}

/** The first of several: an address may stand for many. */
function codeOf(error: unknown): string {
  const { code, errors } = (error ?? {}) as { code?: unknown; errors?: readonly unknown[] };
  if (typeof code === 'string') return code;
  return errors?.[0] === undefined ? '' : codeOf(errors[0]);
}
