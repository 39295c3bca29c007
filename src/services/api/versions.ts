/** The version documents that every client reads first. No token needed. */
import { type Route, route } from '#http/route.ts';

/** What this API speaks: 2.1 up to what Nova's Zed release has. */
export const MICROVERSIONS = {
  type: 'compute',
  legacyHeader: 'X-OpenStack-Nova-API-Version',
  min: 1,
  max: 93,
} as const;

const MEDIA_TYPES = [{ base: 'application/json', type: 'application/vnd.openstack.compute+json;version=2.1' }];

function v21(base: string) {
  return {
    id: 'v2.1',
    status: 'CURRENT',
    version: `2.${MICROVERSIONS.max}`,
    min_version: `2.${MICROVERSIONS.min}`,
    updated: '2013-07-23T11:33:21Z',
    links: [{ rel: 'self', href: `${base}/v2.1/` }],
  };
}

function v2(base: string) {
  return {
    id: 'v2.0',
    status: 'SUPPORTED',
    version: '',
    min_version: '',
    updated: '2011-01-21T11:33:21Z',
    links: [{ rel: 'self', href: `${base}/v2/` }],
  };
}

export function versionRoutes(): Route[] {
  const list = (path: string) =>
    route({
      method: 'GET',
      path,
      doc: 'Lists the versions of the API.',
      access: 'anyone',
      success: 200,
      handle: ({ base }) => ({ body: { versions: [v2(base), v21(base)] } }),
    });
  const show = (path: string, doc: string, version: typeof v21) =>
    route({
      method: 'GET',
      path,
      doc,
      access: 'anyone',
      success: 200,
      handle: ({ base }) => ({ body: { version: { ...version(base), 'media-types': MEDIA_TYPES } } }),
    });
  const shown21 = 'Shows version 2.1 and its range of microversions.';
  const shown20 = 'Shows version 2.0, which is 2.1 without microversions.';
  return [
    list(''),
    list('/'),
    show('/v2.1', shown21, v21),
    show('/v2.1/', shown21, v21),
    show('/v2', shown20, v2),
    show('/v2/', shown20, v2),
  ];
}
