/** Key pairs: the SSH keys that new servers let in. They belong to the user. */
import { createHash } from 'node:crypto';
import { type TProperties, type TSchema, Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { countKeypairs, deleteKeypair, findKeypair, insertKeypair, listKeypairs } from '#db/repo/keypairs.ts';
import type { KeypairRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type AuthContext, caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { lastOf, limitOf, markerNotFound, nextLink, PagingQuery, repeatable } from '../paging.ts';
import { projectQuota } from '../quotas/project-quota.ts';
import { micros } from '../times.ts';
import { fingerprintOf, generateRsaPair } from './ssh-key.ts';

const KeypairName = Type.String({
  minLength: 1,
  maxLength: 255,
  pattern: '^[a-zA-Z0-9_ -]*[a-zA-Z0-9_-][a-zA-Z0-9_ -]*$',
});
/** From 2.92 on also `@` and `.`. */
const WiderName = Type.String({
  minLength: 1,
  maxLength: 255,
  pattern: '^[a-zA-Z0-9@._ -]*[a-zA-Z0-9@._-][a-zA-Z0-9@._ -]*$',
});
const PublicKey = Type.String({ minLength: 1, maxLength: 16_384 });
const KeyType = Type.Optional(Type.Enum(['ssh', 'x509']));
const UserId = Type.Optional(Type.String({ minLength: 1, maxLength: 64 }));

const body = (properties: TProperties): TSchema =>
  Type.Object({ keypair: Type.Object(properties, { additionalProperties: false }) }, { additionalProperties: false });

const CREATE = [
  { from: 1, schema: body({ name: KeypairName, public_key: Type.Optional(PublicKey) }) },
  { from: 2, schema: body({ name: KeypairName, public_key: Type.Optional(PublicKey), type: KeyType }) },
  {
    from: 10,
    schema: body({ name: KeypairName, public_key: Type.Optional(PublicKey), type: KeyType, user_id: UserId }),
  },
  { from: 92, schema: body({ name: WiderName, public_key: PublicKey, type: KeyType, user_id: UserId }) },
];

interface CreateBody {
  readonly name: string;
  readonly public_key?: string;
  readonly type?: 'ssh' | 'x509';
  readonly user_id?: string;
}

const UserQuery = Type.Object({ user_id: Type.Optional(repeatable(Type.String({ maxLength: 64 }))) });
const ListQuery = Type.Object({ ...UserQuery.properties, ...PagingQuery });

const PATH = '/v2.1/os-keypairs';

export function keypairRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  const checkQuota = async (db: Queries, userId: string, projectId: string) => {
    const { keyPairs } = await projectQuota(db, deps.quota, projectId);
    if (keyPairs >= 0 && (await countKeypairs(db, userId)) >= keyPairs)
      throw new CloudError('keypairQuotaExceeded', {});
  };
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the caller’s key pairs.',
      access: { rule: 'os_compute_api:os-keypairs:index', role: 'any' },
      query: ListQuery,
      success: 200,
      handle: async (request) => {
        const { query, version } = request;
        const userId = ownerOf(caller(request), version, lastOf(query.user_id), 'index');
        const paged = version >= 35;
        const marker = paged ? lastOf(query.marker) : undefined;
        if (marker !== undefined && !(await findKeypair(queries, userId, marker))) throw markerNotFound(marker);
        const limit = paged ? limitOf(query) : 1000;
        const rows = await listKeypairs(queries, userId, marker, limit);
        const links = nextLink(
          'keypairs',
          paged && rows.length === limit,
          `${request.base}${PATH}`,
          query,
          rows.at(-1)?.name,
        );
        return { body: { keypairs: rows.map((row) => ({ keypair: summary(row, version) })), ...links } };
      },
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Takes over a public key, or makes a pair and answers the private key this once.',
      access: { rule: 'os_compute_api:os-keypairs:create', role: 'any' },
      body: CREATE,
      success: 200,
      handle: async (request) => {
        const auth = caller(request);
        // Checked against the schema in force; the type is what all of them have in common.
        const wanted = (request.body as { keypair: CreateBody }).keypair;
        const userId = ownerOf(auth, request.version, wanted.user_id, 'create');
        if (wanted.type === 'x509' && wanted.public_key === undefined) {
          throw new CloudError('badRequest', {
            reason: 'Cannot generate an x509 certificate here; give its public_key.',
          });
        }
        // Before a pair is made, which costs far more than the question; again where it is written, for requests at once.
        await checkQuota(queries, userId, auth.projectId);
        const made = wanted.public_key === undefined ? await generateRsaPair('Generated-by-Nova') : null;
        const publicKey = made?.publicKey ?? wanted.public_key ?? '';
        const row: KeypairRow = {
          user_id: userId,
          name: wanted.name,
          type: wanted.type ?? 'ssh',
          public_key: publicKey,
          fingerprint: wanted.type === 'x509' ? certificateFingerprint(publicKey) : fingerprintOf(publicKey),
          created_at: deps.now(),
        };
        try {
          await deps.db.transaction(async (trx) => {
            await checkQuota(trx, userId, auth.projectId);
            await insertKeypair(trx, row);
          });
        } catch (error) {
          if (!deps.db.isUniqueViolation(error)) throw error;
          throw new CloudError('conflict', { reason: `Key pair '${row.name}' already exists.` });
        }
        return {
          status: request.version >= 2 ? 201 : 200,
          body: {
            keypair: {
              ...summary(row, request.version),
              user_id: userId,
              ...(made && { private_key: made.privateKey }),
            },
          },
        };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:name`,
      doc: 'Shows a key pair.',
      access: { rule: 'os_compute_api:os-keypairs:show', role: 'any' },
      query: UserQuery,
      success: 200,
      handle: async (request) => {
        const userId = ownerOf(caller(request), request.version, lastOf(request.query.user_id), 'show');
        const name = request.params.name ?? '';
        const row = await findKeypair(queries, userId, name);
        if (!row) throw keypairNotFound(name, userId);
        return {
          body: {
            keypair: {
              ...summary(row, request.version),
              user_id: userId,
              id: Number.parseInt(createHash('sha256').update(`${userId}/${name}`).digest('hex').slice(0, 7), 16),
              created_at: micros(row.created_at),
              updated_at: null,
              deleted: false,
              deleted_at: null,
            },
          },
        };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:name`,
      doc: 'Deletes a key pair. Servers that have it keep it.',
      access: { rule: 'os_compute_api:os-keypairs:delete', role: 'any' },
      query: UserQuery,
      success: 202,
      handle: async (request) => {
        const userId = ownerOf(caller(request), request.version, lastOf(request.query.user_id), 'delete');
        const name = request.params.name ?? '';
        if (!(await deleteKeypair(queries, userId, name))) throw keypairNotFound(name, userId);
        return { status: request.version >= 2 ? 204 : 202 };
      },
    }),
  ];
}

function summary(row: KeypairRow, version: number): Record<string, unknown> {
  return {
    name: row.name,
    public_key: row.public_key,
    fingerprint: row.fingerprint,
    ...(version >= 2 && { type: row.type }),
  };
}

/** Whose key pairs are meant: the caller's, or from 2.10 on, for an administrator, somebody's. */
function ownerOf(auth: AuthContext, version: number, asked: string | undefined, action: string): string {
  if (version < 10 || asked === undefined || asked === auth.userId) return auth.userId;
  if (!auth.isAdmin) throw new CloudError('policyForbids', { rule: `os_compute_api:os-keypairs:${action}` });
  return asked;
}

function keypairNotFound(name: string, userId: string): CloudError {
  return new CloudError('notFound', { what: 'Keypair', id: `${name} for user ${userId}` });
}

function certificateFingerprint(pem: string): string {
  const body = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(pem)?.[1];
  if (!body)
    throw new CloudError('badRequest', { reason: 'Keypair data is invalid: failed to generate X509 fingerprint.' });
  return createHash('sha1')
    .update(Buffer.from(body, 'base64'))
    .digest('hex')
    .toUpperCase()
    .replace(/..(?=.)/g, '$&:');
}
