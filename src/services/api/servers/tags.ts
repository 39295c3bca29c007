/** `/servers/{id}/tags`: words that servers are found by, from 2.26 on. Source: Nova's API reference, "Server tags". */
import { Type } from 'typebox';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { GUARDS } from '#domain/instance/transitions.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { changeInPlace } from './change-in-place.ts';
import { visibleServer } from './visible-server.ts';

type Request = ServiceRequest<unknown, unknown>;

const MAX_TAGS = 50;
const MAX_LENGTH = 60;
const PATTERN = '^[^,/]*$';
const Tag = Type.String({ minLength: 1, maxLength: MAX_LENGTH, pattern: PATTERN });

const PATH = '/v2.1/servers/:id/tags';
const RULE = 'os_compute_api:os-server-tags';
const FROM = 26;

export function serverTagRoutes(deps: ApiDeps): Route[] {
  /** Answers the tags as they were before. */
  const write = (
    request: Request,
    action: 'update' | 'delete',
    change: (tags: readonly string[]) => readonly string[],
  ) =>
    changeInPlace(deps, request, (row) => {
      checkState(row, `${action} tag`);
      const before = tagsOf(row);
      const tags = change(before);
      if (tags.length > MAX_TAGS)
        throw new CloudError('badRequest', { reason: `The number of tags exceeded the per-server limit ${MAX_TAGS}` });
      return { patch: { tags: JSON.stringify(tags) }, result: before };
    });

  return [
    route({
      method: 'GET',
      path: PATH,
      from: FROM,
      doc: 'Lists the tags of a server.',
      access: { rule: `${RULE}:index`, role: 'reader' },
      success: 200,
      handle: async (request) => ({ body: { tags: tagsOf(await visibleServer(deps, request)) } }),
    }),
    route({
      method: 'PUT',
      path: PATH,
      from: FROM,
      doc: 'Replaces all tags.',
      access: { rule: `${RULE}:update_all`, role: 'member' },
      body: Type.Object({ tags: Type.Array(Tag, { maxItems: MAX_TAGS }) }, { additionalProperties: false }),
      success: 200,
      handle: async (request) => {
        const tags = [...new Set(request.body.tags)];
        await write(request, 'update', () => tags);
        return { body: { tags } };
      },
    }),
    route({
      method: 'DELETE',
      path: PATH,
      from: FROM,
      doc: 'Removes all tags.',
      access: { rule: `${RULE}:delete_all`, role: 'member' },
      success: 204,
      handle: async (request) => {
        await write(request, 'delete', () => []);
        return {};
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:tag`,
      from: FROM,
      doc: 'Says whether a server has a tag.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      success: 204,
      handle: async (request) => {
        checkHas(tagsOf(await visibleServer(deps, request)), request);
        return {};
      },
    }),
    route({
      method: 'PUT',
      path: `${PATH}/:tag`,
      from: FROM,
      doc: 'Adds a tag; 204 when it is there already.',
      access: { rule: `${RULE}:update`, role: 'member' },
      success: 201,
      handle: async (request) => {
        const tag = checkedTag(request.params.tag ?? '');
        const before = await write(request, 'update', (tags) => (tags.includes(tag) ? tags : [...tags, tag]));
        if (before.includes(tag)) return { status: 204 };
        const location = `${request.base}/v2.1/servers/${request.params.id}/tags/${encodeURIComponent(tag)}`;
        return { headers: { location } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:tag`,
      from: FROM,
      doc: 'Removes a tag.',
      access: { rule: `${RULE}:delete`, role: 'member' },
      success: 204,
      handle: async (request) => {
        await write(request, 'delete', (tags) => {
          checkHas(tags, request);
          return tags.filter((tag) => tag !== request.params.tag);
        });
        return {};
      },
    }),
  ];
}

function tagsOf(row: ServerRow): readonly string[] {
  return JSON.parse(row.tags) as string[];
}

/** As for metadata, but neither a lock nor a task holds tags off. */
function checkState(row: ServerRow, action: string): void {
  const from: readonly string[] = GUARDS.metadata.from;
  if (!from.includes(row.vm_state))
    throw new CloudError('instanceInState', { action, id: row.id, attribute: 'vm_state', state: row.vm_state });
}

function checkHas(tags: readonly string[], { params }: Request): void {
  const { id = '', tag = '' } = params;
  if (!tags.includes(tag)) throw new CloudError('notThere', { reason: `Server ${id} has no tag '${tag}'` });
}

function checkedTag(tag: string): string {
  if ([...tag].length > MAX_LENGTH)
    throw new CloudError('badRequest', {
      reason: `Tag '${tag.slice(0, 200)}' is too long. Maximum length of a tag is ${MAX_LENGTH}`,
    });
  if (tag === '' || !new RegExp(PATTERN).test(tag))
    throw new CloudError('badRequest', {
      reason: `Tag '${tag}' is invalid. It must be a non empty string without characters '/' and ','.`,
    });
  return tag;
}
