/**
 * What a new cloud needs before anybody can log in, as `keystone-manage bootstrap` and DevStack make it.
 *
 * Runs at every start and changes nothing that is there. Roles, the signing key and the service user are put back where
 * they are missing, since the cloud does not work without them; people and their projects are only made in an empty
 * record: an operator who deletes `demo` does not find it again after a restart.
 */
import { randomBytes } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Schema } from '#db/database.ts';
import { findProjectByName, insertProject } from '#db/repo/identity/projects.ts';
import { grantRole } from '#db/repo/identity/role-assignments.ts';
import { insertRole, listRoles } from '#db/repo/identity/roles.ts';
import { findUserByName, hasUsers, insertUser } from '#db/repo/identity/users.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { BUILT_IN_ROLES } from './implied-roles.ts';
import { SERVICE_PROJECT, SERVICE_USER } from './service-token.ts';
import { ensureSigningKey } from './token/signing-keys.ts';
import { newId } from './unique-names.ts';

export interface BootstrapOptions {
  /** Passwords to use instead of generated ones, by user name. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** Told the people's passwords before they count, so that a crash leaves no user whose password nobody knows. */
  readonly keep?: (passwords: Readonly<Record<string, string>>) => void;
}

export interface Bootstrapped {
  /** True when this call made the cloud's users. */
  readonly created: boolean;
  /** By user name, only of the users that this call made; they exist nowhere else in the clear. */
  readonly passwords: Readonly<Record<string, string>>;
}

interface Person {
  readonly name: string;
  readonly defaultProject: string;
  /** `[role, project]`. */
  readonly grants: readonly (readonly [string, string])[];
}

const SERVICE: Person = { name: SERVICE_USER, defaultProject: SERVICE_PROJECT, grants: [['service', SERVICE_PROJECT]] };
const PEOPLE: readonly Person[] = [
  {
    name: 'admin',
    defaultProject: 'admin',
    grants: [
      ['admin', 'admin'],
      ['admin', 'demo'],
    ],
  },
  { name: 'demo', defaultProject: 'demo', grants: [['member', 'demo']] },
];

/** Idempotent. Two processes may run it at once on one database: one makes the users, the other finds them. */
export async function bootstrap(deps: IdentityDeps, options: BootstrapOptions = {}): Promise<Bootstrapped> {
  try {
    return await bootstrapOnce(deps, options);
  } catch (error) {
    if (!deps.record.isUniqueViolation(error)) throw error;
    // On PostgreSQL two transactions can find the same thing missing; the second then finds what the first made.
    return bootstrapOnce(deps, options);
  }
}

async function bootstrapOnce(deps: IdentityDeps, options: BootstrapOptions): Promise<Bootstrapped> {
  const { record, passwords, clock } = deps;
  const people = (await hasUsers(record.queries)) ? [] : PEOPLE;
  const service = (await findUserByName(record.queries, SERVICE_USER)) ? [] : [SERVICE];
  // Hashed before the transaction: inside one, nothing but queries may be waited for.
  const missing = await Promise.all(
    [...people, ...service].map(async (person) => {
      const password = options.passwords?.[person.name] ?? randomBytes(18).toString('base64url');
      return { person, password, hash: await passwords.hash(password) };
    }),
  );
  if (people.length > 0)
    options.keep?.(Object.fromEntries(missing.map(({ person, password }) => [person.name, password])));
  const made = await record.write(async (trx) => {
    // Of this run: the one before, if the engine ran it in vain, has made nobody.
    const made: Record<string, string> = {};
    const now = clock();
    await ensureSigningKey(trx, now);
    const roles = await ensureRoles(trx);
    const isEmpty = !(await hasUsers(trx));
    for (const { person, password, hash } of missing) {
      if (!isEmpty && person !== SERVICE) continue;
      if (await ensureUser(trx, now, person, hash)) made[person.name] = password;
      await ensureGrants(trx, now, person, roles);
    }
    await ensureGrants(trx, now, SERVICE, roles);
    return made;
  });
  return { created: Object.keys(made).length > 0, passwords: made };
}

async function ensureRoles(trx: Transaction<Schema>): Promise<ReadonlyMap<string, string>> {
  const known = new Set((await listRoles(trx)).map((role) => role.name));
  for (const name of BUILT_IN_ROLES)
    if (!known.has(name)) await insertRole(trx, { id: newId(), name, description: null });
  return new Map((await listRoles(trx)).map((role) => [role.name, role.id]));
}

/** False where there is a user of that name. */
async function ensureUser(trx: Transaction<Schema>, now: number, person: Person, hash: string): Promise<boolean> {
  const { name } = person;
  if (await findUserByName(trx, name)) return false;
  const defaultProjectId = await ensureProject(trx, now, person.defaultProject);
  const rest = { enabled: true, email: null, description: null, createdAt: now };
  await insertUser(trx, { id: newId(), name, passwordHash: hash, defaultProjectId, ...rest });
  return true;
}

async function ensureGrants(
  trx: Transaction<Schema>,
  now: number,
  person: Person,
  roles: ReadonlyMap<string, string>,
): Promise<void> {
  const user = await findUserByName(trx, person.name);
  for (const [role, project] of person.grants) {
    const roleId = roles.get(role);
    if (user && roleId)
      await grantRole(trx, { userId: user.id, roleId, projectId: await ensureProject(trx, now, project) });
  }
}

async function ensureProject(trx: Transaction<Schema>, now: number, name: string): Promise<string> {
  const known = await findProjectByName(trx, name);
  if (known) return known.id;
  const id = newId();
  await insertProject(trx, { id, name, description: '', enabled: true, createdAt: now });
  return id;
}
