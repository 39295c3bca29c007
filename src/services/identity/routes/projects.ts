/** Projects: admins manage them, everybody may look at the one their token is for. There is no tree of projects. */
import { Type } from 'typebox';
import {
  deleteProject,
  findProject,
  insertProject,
  listProjects,
  type Project,
  updateProject,
} from '#db/repo/identity/projects.ts';
import { forgetDefaultProject } from '#db/repo/identity/users.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import { DEFAULT_DOMAIN, requireDefaultDomain } from '../domain.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { booleanFilter, listing } from '../listing.ts';
import { nameSchema, TextSchema } from '../names.ts';
import { adminMay, callerOf } from '../policy.ts';
import { newId, notFound, writeNamed } from '../unique-names.ts';

const optional = {
  description: Type.Optional(TextSchema),
  domain_id: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  enabled: Type.Optional(Type.Boolean()),
};
const Name = nameSchema(64);
const CreateBody = Type.Object({
  project: Type.Object({
    ...optional,
    name: Name,
    is_domain: Type.Optional(Type.Boolean()),
    parent_id: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  }),
});
const UpdateBody = Type.Object({ project: Type.Object({ ...optional, name: Type.Optional(Name) }) });
const ListQuery = Type.Object({
  name: Type.Optional(Type.String()),
  domain_id: Type.Optional(Type.String()),
  parent_id: Type.Optional(Type.String()),
  is_domain: Type.Optional(Type.String()),
  enabled: Type.Optional(Type.String()),
});

export function projectRoutes(deps: IdentityDeps): readonly Route[] {
  const { record } = deps;
  return [
    route({
      method: 'GET',
      path: '/v3/projects',
      doc: 'List projects, by name, domain, parent and enabled.',
      access: adminMay('list_projects'),
      query: ListQuery,
      success: 200,
      handle: async ({ query, base }) => {
        const inDefault = [query.domain_id, query.parent_id].every(
          (id) => (id ?? DEFAULT_DOMAIN.id) === DEFAULT_DOMAIN.id,
        );
        const none = !inDefault || booleanFilter(query.is_domain) === true;
        const filter = { name: query.name, enabled: booleanFilter(query.enabled) };
        const projects = none ? [] : await listProjects(record.queries, filter);
        const views = projects.map((project) => projectView(project, base));
        return { body: listing('projects', views, `${base}/v3/projects`) };
      },
    }),
    route({
      method: 'POST',
      path: '/v3/projects',
      doc: 'Create a project.',
      access: adminMay('create_project'),
      body: CreateBody,
      success: 201,
      handle: async ({ body, base }) => {
        const asked = body.project;
        requireDefaultDomain(asked.domain_id);
        if (asked.is_domain || (asked.parent_id ?? DEFAULT_DOMAIN.id) !== DEFAULT_DOMAIN.id)
          throw new CloudError('forbidden', {
            reason: 'Projects are all in the domain default; there is no tree of them.',
          });
        const project: Project = {
          id: newId(),
          name: asked.name,
          description: asked.description ?? '',
          enabled: asked.enabled ?? true,
          createdAt: deps.clock(),
        };
        await writeNamed(record, 'project', project.name, (trx) => insertProject(trx, project));
        return { body: { project: projectView(project, base) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/projects/:projectId',
      doc: 'Show a project: any for admins, that of the token for everybody.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const { projectId = '' } = request.params;
        const auth = callerOf(request);
        if (!auth.isAdmin && auth.projectId !== projectId)
          throw new CloudError('policyForbids', { rule: 'identity:get_project' });
        const project = await findProject(record.queries, projectId);
        if (!project) throw notFound('project', projectId);
        return { body: { project: projectView(project, request.base) } };
      },
    }),
    route({
      method: 'PATCH',
      path: '/v3/projects/:projectId',
      doc: 'Change a project. Disabling it revokes all tokens for it.',
      access: adminMay('update_project'),
      body: UpdateBody,
      success: 200,
      handle: async ({ params: { projectId = '' }, body, base }) => {
        const { name, description, enabled, domain_id: domainId } = body.project;
        requireDefaultDomain(domainId);
        const changes = {
          ...(name !== undefined && { name }),
          ...(description !== undefined && { description: description ?? '' }),
          ...(enabled !== undefined && { enabled }),
        };
        const project = await writeNamed(record, 'project', name ?? '', async (trx) => {
          if (!(await updateProject(trx, projectId, changes))) throw notFound('project', projectId);
          if (enabled === false) await deps.tokens.revokeAll(trx, { projectId });
          return findProject(trx, projectId);
        });
        return { body: { project: project && projectView(project, base) } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v3/projects/:projectId',
      doc: 'Delete a project with all that anybody may do there; tokens for it are refused from then on.',
      access: adminMay('delete_project'),
      success: 204,
      handle: async ({ params: { projectId = '' } }) => {
        await record.write(async (trx) => {
          if (!(await deleteProject(trx, projectId))) throw notFound('project', projectId);
          await forgetDefaultProject(trx, projectId);
        });
        return {};
      },
    }),
  ];
}

/** A project as Identity v3 shows it. */
export function projectView(project: Project, base: string): object {
  return {
    id: project.id,
    name: project.name,
    domain_id: DEFAULT_DOMAIN.id,
    description: project.description,
    enabled: project.enabled,
    parent_id: DEFAULT_DOMAIN.id,
    is_domain: false,
    tags: [],
    options: {},
    links: { self: `${base}/v3/projects/${project.id}` },
  };
}
