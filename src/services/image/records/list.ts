/** GET /v2/images: one page of what the caller may see. `first` and `next` are paths, as in Glance. */
import Type from 'typebox';
import { listImages } from '#db/repo/image/list.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { actsForAll, type Caller, visibleImage } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import { imageView } from '../view.ts';
import { parseListQuery, type RawQuery } from './list-query.ts';

const text = (description: string) =>
  Type.Optional(Type.Unsafe<string | string[]>({ type: ['string', 'array'], items: { type: 'string' }, description }));

const LIST_QUERY = Type.Object(
  {
    limit: text('Page size, default 25, at most 1000'),
    marker: text('Id of the last image of the page before'),
    sort: text('`key[:asc|desc]`, comma separated'),
    sort_key: text('May be repeated'),
    sort_dir: text('`asc` or `desc`; may be repeated'),
    name: text('Equal to, or `in:a,"b,c"`'),
    id: text('Equal to, or `in:…`'),
    status: text('Equal to, or `in:…`'),
    disk_format: text('Equal to, or `in:…`'),
    container_format: text('Equal to, or `in:…`'),
    visibility: text('public, private, shared, community or all'),
    owner: text('Project id'),
    member_status: text('pending, accepted, rejected or all: images shared with you'),
    size_min: text('Bytes'),
    size_max: text('Bytes'),
    tag: text('May be repeated: has all of them'),
    protected: text('true or false'),
    os_hidden: text('true or false'),
    created_at: text('`gt:`, `gte:`, `lt:`, `lte:`, `eq:` or `neq:` and a time'),
    updated_at: text('As created_at'),
  },
  { additionalProperties: true, description: 'Any other name filters by the property of that name.' },
);

export function listRoutes({ database }: ImageContext): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v2/images',
      doc: 'Images that the caller may see, newest first unless asked otherwise.',
      access: { rule: 'get_images', role: 'any' },
      query: LIST_QUERY,
      success: 200,
      async handle(request) {
        const who = caller(request);
        const query = request.query as RawQuery;
        const { marker, ...asked } = parseListQuery(query);
        const images = await listImages(database.queries, {
          ...asked,
          projectId: who.projectId,
          seesAll: actsForAll(who),
          after: marker === null ? null : await markerImage(who, marker),
        });
        const last = images.length === asked.limit ? images.at(-1) : undefined;
        return { body: { images: images.map(imageView), ...links(query, last?.id) } };
      },
    }),
  ];

  /** A marker that does not exist, or not for this caller, is a bad request. */
  async function markerImage(who: Caller, marker: string) {
    try {
      return await visibleImage(database.queries, who, marker);
    } catch (error) {
      if (!(error instanceof CloudError) || error.status !== 404) throw error;
      throw new CloudError('badRequest', { reason: `marker [${marker.slice(0, 100)}] not found` }, { cause: error });
    }
  }
}

function links(query: RawQuery, lastId: string | undefined): Record<string, string> {
  const rest = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (name === 'marker' || value === undefined) continue;
    for (const each of typeof value === 'string' ? [value] : value) rest.append(name, each);
  }
  const first = rest.size > 0 ? `/v2/images?${rest}` : '/v2/images';
  const schema = '/v2/schemas/images';
  if (lastId === undefined) return { schema, first };
  rest.append('marker', lastId);
  return { schema, first, next: `/v2/images?${rest}` };
}
