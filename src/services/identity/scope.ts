/**
 * What a new token is to be for: the `scope` of `POST /v3/auth/tokens`, or the user's default project.
 *
 * Only the object is looked up here. Whether the user may be there is the token authority's to say, and a scope that
 * does not exist is refused like one that is not allowed.
 */
import { type Static, Type } from 'typebox';
import { findProject, findProjectByName } from '#db/repo/identity/projects.ts';
import { CloudError } from '#domain/errors.ts';
import { isDefaultDomain } from './domain.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { DomainSchema, type Login } from './login.ts';
import type { VerifiedToken } from './token/authority.ts';
import type { TokenScope } from './token/payload.ts';

export const ScopeSchema = Type.Union([
  Type.Literal('unscoped'),
  Type.Object({
    project: Type.Optional(
      Type.Object({
        id: Type.Optional(Type.String()),
        name: Type.Optional(Type.String()),
        domain: Type.Optional(DomainSchema),
      }),
    ),
    domain: Type.Optional(DomainSchema),
    unscoped: Type.Optional(Type.Object({})),
  }),
]);

export interface ScopedToken {
  readonly token: string;
  readonly verified: VerifiedToken;
}

/** A token for whom `login` found, as asked. Throws `unauthorized` where the user may not be. */
export async function issueScoped(
  deps: IdentityDeps,
  who: Login,
  asked: Static<typeof ScopeSchema> | undefined,
): Promise<ScopedToken> {
  if (asked === undefined && who.defaultProjectId !== null) {
    const inDefault = await tryScope(deps, who, { kind: 'project', projectId: who.defaultProjectId });
    if (inDefault) return inDefault;
  }
  const scope = asked === undefined ? ({ kind: 'unscoped' } as const) : await resolve(deps, asked);
  const issued = scope && (await tryScope(deps, who, scope));
  if (issued) return issued;
  deps.log.info({ user_id: who.userId, scope: scope ?? 'unknown' }, 'scope refused');
  throw new CloudError('unauthorized', {});
}

async function tryScope(deps: IdentityDeps, who: Login, scope: TokenScope): Promise<ScopedToken | null> {
  // A default project is whatever an admin wrote there; only our own ids fit into a token.
  if (scope.kind === 'project' && !/^[0-9a-f]{32}$/.test(scope.projectId)) return null;
  const { userId, method, issuedAt, parent } = who;
  const token = await deps.tokens.issue({ userId, scope, method, issuedAt, ...(parent && { parent }) });
  const verified = await deps.tokens.verify(token);
  return verified && { token, verified };
}

async function resolve(deps: IdentityDeps, asked: Static<typeof ScopeSchema>): Promise<TokenScope | null> {
  if (asked === 'unscoped' || asked.unscoped) return { kind: 'unscoped' };
  if (asked.domain) return isDefaultDomain(asked.domain) ? { kind: 'domain' } : null;
  // `system`, `OS-TRUST:trust`: nobody has such roles here.
  if (!asked.project) return null;
  const { id, name, domain } = asked.project;
  const { queries } = deps.record;
  if (id !== undefined) return projectScope(await findProject(queries, id));
  if (name === undefined || domain === undefined)
    throw new CloudError('badRequest', { reason: 'Expecting to find id, or name and domain, in project.' });
  return isDefaultDomain(domain) ? projectScope(await findProjectByName(queries, name)) : null;
}

function projectScope(project: { readonly id: string } | null): TokenScope | null {
  return project && { kind: 'project', projectId: project.id };
}
