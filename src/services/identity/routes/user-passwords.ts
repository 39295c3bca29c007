/** Changing one's own password: the old one must be shown, and every token of the user goes, this request's included. */
import { Type } from 'typebox';
import { findUser, replacePassword } from '#db/repo/identity/users.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { PasswordSchema } from '../names.ts';
import { requireSelf } from '../policy.ts';

const Body = Type.Object({
  user: Type.Object({ original_password: Type.String({ maxLength: 4096 }), password: PasswordSchema }),
});

export function userPasswordRoutes(deps: IdentityDeps): readonly Route[] {
  const { record, passwords } = deps;
  return [
    route({
      method: 'POST',
      path: '/v3/users/:userId/password',
      doc: 'Change the password, given the original one; revokes all tokens of the user.',
      access: 'token',
      body: Body,
      success: 204,
      handle: async (request) => {
        const { userId = '' } = request.params;
        requireSelf(request, userId, 'change_password');
        const { original_password: original, password } = request.body.user;
        const user = await findUser(record.queries, userId);
        const oldHash = user?.passwordHash ?? null;
        if (!(await passwords.verify(original, oldHash))) throw new CloudError('unauthorized', {});
        const newHash = await passwords.hash(password);
        await record.write(async (trx) => {
          // Somebody may have set another one while this was hashed: then the original is not the original any more.
          if (!(await replacePassword(trx, userId, oldHash, newHash))) throw new CloudError('unauthorized', {});
          await deps.tokens.revokeAll(trx, { userId });
        });
        return {};
      },
    }),
  ];
}
