/** Users: admins manage them, everybody may look at oneself. Passwords go in and never come out. */
import { type Static, Type } from 'typebox';
import {
  deleteUser,
  findUser,
  insertUser,
  listUsers,
  type User,
  type UserChanges,
  updateUser,
} from '#db/repo/identity/users.ts';
import { type Route, route } from '#http/route.ts';
import { DEFAULT_DOMAIN, requireDefaultDomain } from '../domain.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { booleanFilter, listing } from '../listing.ts';
import { IdSchema, nameSchema, PasswordSchema, TextSchema } from '../names.ts';
import { adminMay, requireSelf } from '../policy.ts';
import { newId, notFound, writeNamed } from '../unique-names.ts';

const optional = {
  default_project_id: Type.Optional(Type.Union([IdSchema, Type.Null()])),
  description: Type.Optional(TextSchema),
  domain_id: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  email: Type.Optional(TextSchema),
  enabled: Type.Optional(Type.Boolean()),
  password: Type.Optional(Type.Union([PasswordSchema, Type.Null()])),
};
const Name = nameSchema(255);
const CreateBody = Type.Object({ user: Type.Object({ ...optional, name: Name }) });
const UpdateBody = Type.Object({ user: Type.Object({ ...optional, name: Type.Optional(Name) }) });
const ListQuery = Type.Object({
  name: Type.Optional(Type.String()),
  domain_id: Type.Optional(Type.String()),
  enabled: Type.Optional(Type.String()),
});

export function userRoutes(deps: IdentityDeps): readonly Route[] {
  const { record } = deps;
  return [
    route({
      method: 'GET',
      path: '/v3/users',
      doc: 'List users, by name, domain and enabled.',
      access: adminMay('list_users'),
      query: ListQuery,
      success: 200,
      handle: async ({ query, base }) => {
        const elsewhere = query.domain_id !== undefined && query.domain_id !== DEFAULT_DOMAIN.id;
        const filter = { name: query.name, enabled: booleanFilter(query.enabled) };
        const users = elsewhere ? [] : await listUsers(record.queries, filter);
        const views = users.map((user) => userView(user, base));
        return { body: listing('users', views, `${base}/v3/users`) };
      },
    }),
    route({
      method: 'POST',
      path: '/v3/users',
      doc: 'Create a user, with a password or without.',
      access: adminMay('create_user'),
      body: CreateBody,
      success: 201,
      handle: async ({ body, base }) => {
        const asked = body.user;
        requireDefaultDomain(asked.domain_id);
        const user: User = {
          id: newId(),
          name: asked.name,
          passwordHash: asked.password ? await deps.passwords.hash(asked.password) : null,
          enabled: asked.enabled ?? true,
          defaultProjectId: asked.default_project_id ?? null,
          email: asked.email ?? null,
          description: asked.description ?? null,
          createdAt: deps.clock(),
        };
        await writeNamed(record, 'user', user.name, (trx) => insertUser(trx, user));
        return { body: { user: userView(user, base) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/users/:userId',
      doc: 'Show a user.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const { userId = '' } = request.params;
        requireSelf(request, userId, 'get_user');
        const user = await findUser(record.queries, userId);
        if (!user) throw notFound('user', userId);
        return { body: { user: userView(user, request.base) } };
      },
    }),
    route({
      method: 'PATCH',
      path: '/v3/users/:userId',
      doc: 'Change a user. A new password, or disabling, revokes all tokens of the user.',
      access: adminMay('update_user'),
      body: UpdateBody,
      success: 200,
      handle: async ({ params: { userId = '' }, body, base }) => {
        requireDefaultDomain(body.user.domain_id);
        const changes = await changesOf(deps, body.user);
        const user = await writeNamed(record, 'user', changes.name ?? '', async (trx) => {
          if (!(await updateUser(trx, userId, changes))) throw notFound('user', userId);
          if (changes.passwordHash !== undefined || changes.enabled === false)
            await deps.tokens.revokeAll(trx, { userId });
          return findUser(trx, userId);
        });
        return { body: { user: user && userView(user, base) } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v3/users/:userId',
      doc: 'Delete a user with all that the user may do; their tokens are refused from then on.',
      access: adminMay('delete_user'),
      success: 204,
      handle: async ({ params: { userId = '' } }) => {
        // Tokens of a user who is not there count for nothing, and no other user ever gets the id: nothing to revoke.
        if (!(await record.write((trx) => deleteUser(trx, userId)))) throw notFound('user', userId);
        return {};
      },
    }),
  ];
}

async function changesOf(deps: IdentityDeps, asked: Static<typeof UpdateBody>['user']): Promise<UserChanges> {
  const { name, enabled, password, default_project_id: defaultProjectId, email, description } = asked;
  return {
    ...(name !== undefined && { name }),
    ...(enabled !== undefined && { enabled }),
    ...(defaultProjectId !== undefined && { defaultProjectId }),
    ...(email !== undefined && { email }),
    ...(description !== undefined && { description }),
    ...(password !== undefined && { passwordHash: password === null ? null : await deps.passwords.hash(password) }),
  };
}

function userView(user: User, base: string): object {
  return {
    id: user.id,
    name: user.name,
    domain_id: DEFAULT_DOMAIN.id,
    enabled: user.enabled,
    password_expires_at: null,
    options: {},
    ...(user.defaultProjectId !== null && { default_project_id: user.defaultProjectId }),
    ...(user.email !== null && { email: user.email }),
    ...(user.description !== null && { description: user.description }),
    links: { self: `${base}/v3/users/${user.id}` },
  };
}
