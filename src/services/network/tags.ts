/** Tags of every kind of thing: all of them at once, or one. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { addTag, deleteTags, removeTag, replaceTags, tagsOf } from '#db/repo/network/tags.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import { mayRead, mayWrite, requireOwner, type Who, whoOf } from './access.ts';
import type { NetworkDeps } from './deps.ts';
import { write } from './write.ts';

/** One kind of thing that has tags. */
export interface Tagged {
  readonly one: string;
  readonly path: string;
  /** Throws its 404. */
  readonly find: (db: Queries, id: string, who: Who) => Promise<{ readonly id: string; readonly project_id: string }>;
}

const Tag = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^,/\\u0000]*$' });
const MAX_TAGS = 50;
const TagsBody = Type.Object({ tags: Type.Array(Tag, { maxItems: MAX_TAGS }) }, { additionalProperties: false });

export function tagRoutes(deps: NetworkDeps, kinds: readonly Tagged[]): readonly Route[] {
  return kinds.flatMap((kind) => routesOf(deps, kind));
}

function routesOf(deps: NetworkDeps, { one, path: collection, find }: Tagged): Route[] {
  const path = `/v2.0/${collection}/:id/tags`;
  type Request = ServiceRequest<unknown, unknown>;
  const look = async (request: Request) => {
    const row = await find(deps.db.queries, request.params.id ?? '', whoOf(request));
    return (await tagsOf(deps.db.queries, [row.id])).get(row.id) ?? [];
  };
  const change = (request: Request, work: (db: Queries, id: string) => Promise<void>) => {
    const who = whoOf(request);
    return write(deps, async (trx) => {
      const row = await find(trx, request.params.id ?? '', who);
      requireOwner(who, row, `update_${one}:tags`);
      await work(trx, row.id);
      return { result: null, networks: [] };
    });
  };
  const may = { read: mayRead(`get_${one}:tags`), write: mayWrite(`update_${one}:tags`) };
  return [
    route({
      method: 'GET',
      path,
      doc: 'Tags, in order.',
      access: may.read,
      success: 200,
      handle: async (request) => ({ body: { tags: await look(request) } }),
    }),
    route({
      method: 'PUT',
      path,
      doc: 'Replaces all tags.',
      access: may.write,
      body: TagsBody,
      success: 200,
      async handle(request) {
        await change(request, (db, id) => replaceTags(db, id, request.body.tags));
        return { body: { tags: await look(request) } };
      },
    }),
    route({
      method: 'DELETE',
      path,
      doc: 'Removes all tags.',
      access: may.write,
      success: 204,
      async handle(request) {
        await change(request, (db, id) => deleteTags(db, [id]));
        return {};
      },
    }),
    route({
      method: 'GET',
      path: `${path}/:tag`,
      doc: 'Whether it has the tag.',
      access: may.read,
      success: 204,
      async handle(request) {
        const tag = request.params.tag ?? '';
        if (!(await look(request)).includes(tag)) throw new CloudError('tagNotFound', { tag });
        return {};
      },
    }),
    route({
      method: 'PUT',
      path: `${path}/:tag`,
      doc: 'Adds a tag; has it already: nothing.',
      access: may.write,
      success: 201,
      async handle(request) {
        const tag = request.params.tag ?? '';
        if (tag.length > 255 || tag.includes('\0') || tag.includes(','))
          throw new CloudError('invalidInput', { reason: 'a tag is up to 255 characters without commas' });
        await change(request, async (db, id) => {
          const known = (await tagsOf(db, [id])).get(id) ?? [];
          if (known.length >= MAX_TAGS && !known.includes(tag))
            throw new CloudError('invalidInput', { reason: `a resource may have ${MAX_TAGS} tags` });
          await addTag(db, id, tag);
        });
        return {};
      },
    }),
    route({
      method: 'DELETE',
      path: `${path}/:tag`,
      doc: 'Removes a tag.',
      access: may.write,
      success: 204,
      async handle(request) {
        const tag = request.params.tag ?? '';
        await change(request, async (db, id) => {
          if (!(await removeTag(db, id, tag))) throw new CloudError('tagNotFound', { tag });
        });
        return {};
      },
    }),
  ];
}
