/** What the identity role works with, put together once per process and handed to its service and its authenticator. */
import type { Database } from '#db/database.ts';
import type { Log } from '#observe/log.ts';
import { CATALOGUE, type CatalogueService } from './catalogue.ts';
import { type IdentityRecord, identityRecord } from './identity-record.ts';
import { type PasswordHasher, passwordHasher } from './password/hasher.ts';
import { type TokenAuthority, tokenAuthority } from './token/authority.ts';
import { type Moments, moments } from './token/moments.ts';
import { keyRing } from './token/signing-keys.ts';

const HOUR_MS = 3_600_000;

export interface IdentityOptions {
  readonly database: Database;
  /** Epoch ms. */
  readonly clock: () => number;
  readonly log: Log;
  /** Four hours where not given: longer than an upload or a migration that goes on under one token. */
  readonly tokenLifetimeMs?: number;
  /** Argon2id at its full price where not given. */
  readonly passwords?: PasswordHasher;
  /** The services that clients find in the catalogue; identity, compute and image where not given. */
  readonly catalogue?: readonly CatalogueService[];
}

export interface IdentityDeps {
  readonly record: IdentityRecord;
  readonly tokens: TokenAuthority;
  readonly moments: Moments;
  readonly passwords: PasswordHasher;
  readonly clock: () => number;
  readonly log: Log;
  readonly tokenLifetimeMs: number;
  readonly catalogue: readonly CatalogueService[];
}

/** Puts the parts together; nothing is read or started before the first use. */
export function identityDeps(options: IdentityOptions): IdentityDeps {
  const { database, clock, log } = options;
  const tokenLifetimeMs = options.tokenLifetimeMs ?? 4 * HOUR_MS;
  const record = identityRecord({ database, clock });
  const keys = keyRing({ record, clock });
  const times = moments(clock);
  return {
    record,
    tokens: tokenAuthority({ record, keys, clock, moments: times, tokenLifetimeMs }),
    moments: times,
    passwords: options.passwords ?? passwordHasher(),
    clock,
    log,
    tokenLifetimeMs,
    catalogue: options.catalogue ?? CATALOGUE,
  };
}
