/** Tokens: to get one, to ask what one is worth, to give one back. */
import { Type } from 'typebox';
import { CloudError } from '#domain/errors.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import { catalogueView } from '../catalogue.ts';
import { DEFAULT_DOMAIN } from '../domain.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { IdentitySchema, login } from '../login.ts';
import { callerOf, requireSelf } from '../policy.ts';
import { issueScoped, ScopeSchema } from '../scope.ts';
import type { VerifiedToken } from '../token/authority.ts';

const LoginBody = Type.Object({
  auth: Type.Object({ identity: IdentitySchema, scope: Type.Optional(ScopeSchema) }),
});

type AnyRequest = Pick<ServiceRequest, 'base' | 'raw'> & { readonly query: unknown };

export function tokenRoutes(deps: IdentityDeps): readonly Route[] {
  const answer = (request: AnyRequest, status: number, token: string, verified: VerifiedToken) => ({
    status,
    headers: { 'x-subject-token': token, vary: 'X-Auth-Token' },
    body: { token: tokenView(verified, withCatalogue(request) ? catalogueView(deps.catalogue, request.base) : null) },
  });
  return [
    route({
      method: 'POST',
      path: '/v3/auth/tokens',
      doc: 'Exchange a password or a token for a token, for a project, the domain, or nothing.',
      access: 'anyone',
      body: LoginBody,
      success: 201,
      handle: async (request) => {
        const who = await login(deps, request.body.auth.identity);
        const { token, verified } = await issueScoped(deps, who, request.body.auth.scope);
        return answer(request, 201, token, verified);
      },
    }),
    route({
      method: 'GET',
      path: '/v3/auth/tokens',
      doc: 'What the token in X-Subject-Token is worth: its own user, services and admins may ask.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const { token, verified } = await subject(deps, request, 'validate_token');
        return answer(request, 200, token, verified);
      },
    }),
    route({
      method: 'HEAD',
      path: '/v3/auth/tokens',
      doc: 'Whether the token in X-Subject-Token counts.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const { token } = await subject(deps, request, 'check_token');
        return { headers: { 'x-subject-token': token, vary: 'X-Auth-Token' } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v3/auth/tokens',
      doc: 'Revoke the token in X-Subject-Token: from then on it is refused everywhere.',
      access: 'token',
      success: 204,
      handle: async (request) => {
        const { verified } = await subject(deps, request, 'revoke_token');
        await deps.tokens.revoke(verified);
        return {};
      },
    }),
  ];
}

/** The token that the request is about. 404 where it does not count, 403 where it is somebody else's. */
async function subject(
  deps: IdentityDeps,
  request: ServiceRequest<unknown, unknown>,
  rule: string,
): Promise<{ token: string; verified: VerifiedToken }> {
  const auth = callerOf(request);
  const token = request.raw.headers['x-subject-token'];
  const verified = typeof token === 'string' && token !== '' ? await deps.tokens.verify(token) : null;
  if (!verified || typeof token !== 'string') throw new CloudError('tokenNotFound', {});
  if (!auth.roles.includes('service')) requireSelf(request, verified.user.id, rule);
  return { token, verified };
}

function withCatalogue(request: AnyRequest): boolean {
  return !Object.hasOwn(request.query as object, 'nocatalog');
}

function tokenView({ payload, user, project, roles }: VerifiedToken, catalog: unknown[] | null): object {
  const domain = { id: DEFAULT_DOMAIN.id, name: DEFAULT_DOMAIN.name };
  const scoped = payload.scope.kind !== 'unscoped';
  return {
    methods: payload.methods,
    user: { id: user.id, name: user.name, domain, password_expires_at: null },
    audit_ids: payload.chainAuditId === null ? [payload.auditId] : [payload.auditId, payload.chainAuditId],
    issued_at: microseconds(payload.issuedAt),
    expires_at: microseconds(payload.expiresAt),
    ...(project && { project: { id: project.id, name: project.name, domain }, is_domain: false }),
    ...(payload.scope.kind === 'domain' && { domain }),
    ...(scoped && { roles: roles.map(({ id, name }) => ({ id, name })) }),
    ...(scoped && catalog && { catalog }),
  };
}

/** Keystone's form: clients parse six digits and a Z. */
function microseconds(at: number): string {
  return new Date(at).toISOString().replace('Z', '000Z');
}
