/** Storing under a unique name: one wording for the name that is taken. */
import { randomUUID } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Schema } from '#db/database.ts';
import { CloudError } from '#domain/errors.ts';
import { DEFAULT_DOMAIN } from './domain.ts';
import type { IdentityRecord } from './identity-record.ts';

export type Named = 'user' | 'project' | 'role';

/** An id as Keystone makes them: 32 hex digits. */
export function newId(): string {
  return randomUUID().replaceAll('-', '');
}

/** Writes; a unique violation becomes Keystone's 409 for `name`. */
export async function writeNamed<Result>(
  record: IdentityRecord,
  what: Named,
  name: string,
  work: (trx: Transaction<Schema>) => Promise<Result>,
): Promise<Result> {
  try {
    return await record.write(work);
  } catch (error) {
    if (!record.isUniqueViolation(error)) throw error;
    const where = what === 'role' ? '' : ` at domain ID ${DEFAULT_DOMAIN.id}`;
    throw new CloudError('identityDuplicate', { what, name, where }, { cause: error });
  }
}

/** The 404 of Keystone for any kind of object. */
export function notFound(what: Named | 'domain' | 'service' | 'endpoint' | 'region', id: string): CloudError {
  return new CloudError('identityNotFound', { what, id });
}
