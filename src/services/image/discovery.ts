/** What clients read before they do anything: versions, schemas, and what can be imported (nothing, in this slice). */

import { CloudError } from '#domain/errors.ts';
import { MEMBER_STATUSES } from '#domain/image/image.ts';
import type { Answer, Route } from '#http/route.ts';
import { route } from '#http/route.ts';
import { imageSchema } from './records/attributes.ts';

/** The minors that a Glance with one store lists; 2.8 and 2.10 to 2.14 belong to several stores. */
const MINORS = [15, 9, 7, 6, 5, 4, 3, 2, 1, 0];

function versions(base: string): object {
  const links = [{ rel: 'self', href: `${base}/v2/` }];
  const status = (index: number) => (index === 0 ? 'CURRENT' : 'SUPPORTED');
  return { versions: MINORS.map((minor, index) => ({ id: `v2.${minor}`, status: status(index), links })) };
}

const MEMBER_SCHEMA = {
  name: 'member',
  properties: {
    created_at: { type: 'string', description: 'Date and time of image member creation' },
    image_id: {
      type: 'string',
      pattern: imageSchema().properties.id.pattern,
      description: 'An identifier for the image',
    },
    member_id: { type: 'string', description: 'An identifier for the image member (tenantId)' },
    status: { type: 'string', enum: MEMBER_STATUSES, description: 'The status of this image member' },
    updated_at: { type: 'string', description: 'Date and time of last modification of image member' },
    schema: { readOnly: true, type: 'string' },
  },
};

function collection(name: string, item: object): object {
  return {
    name,
    properties: {
      [name]: { type: 'array', items: item },
      first: { type: 'string' },
      next: { type: 'string' },
      schema: { type: 'string' },
    },
    links: [
      { rel: 'first', href: '{first}' },
      { rel: 'next', href: '{next}' },
      { rel: 'describedby', href: '{schema}' },
    ],
  };
}

const SCHEMAS: Readonly<Record<string, () => object>> = {
  image: imageSchema,
  images: () => collection('images', imageSchema()),
  member: () => MEMBER_SCHEMA,
  members: () => collection('members', MEMBER_SCHEMA),
};

export function discoveryRoutes(): readonly Route[] {
  const listVersions = (path: string, success: number) =>
    route({
      method: 'GET',
      path,
      doc: 'Versions of the image API.',
      access: 'anyone',
      success,
      handle: ({ base }): Answer => ({ body: versions(base) }),
    });
  const schemas = Object.entries(SCHEMAS).map(([name, schema]) =>
    route({
      method: 'GET',
      path: `/v2/schemas/${name}`,
      doc: `JSON schema of ${name}.`,
      access: 'token',
      success: 200,
      handle: (): Answer => ({ body: schema() }),
    }),
  );
  return [
    listVersions('', 300),
    listVersions('/', 300),
    listVersions('/versions', 200),
    listVersions('/v2', 300),
    listVersions('/v2/', 300),
    ...schemas,
    route({
      method: 'GET',
      path: '/v2/info/import',
      doc: 'Import methods: none.',
      access: 'token',
      success: 200,
      handle: (): Answer => ({
        body: { 'import-methods': { description: 'Import methods available.', type: 'array', value: [] } },
      }),
    }),
    route({
      method: 'GET',
      path: '/v2/info/stores',
      doc: 'There is one store, so this is 404 as in a Glance with one store.',
      access: 'token',
      success: 404,
      handle: (): Answer => {
        throw new CloudError('routeNotFound', {});
      },
    }),
  ];
}
