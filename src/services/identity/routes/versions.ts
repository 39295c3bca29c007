/** Discovery: the one version there is, where clients look for it first. */
import { type Answer, type Route, route } from '#http/route.ts';

export function versionRoutes(): readonly Route[] {
  const list = ({ base }: { base: string }): Answer => ({ body: { versions: { values: [versionView(base)] } } });
  const show = ({ base }: { base: string }): Answer => ({ body: { version: versionView(base) } });
  const of = (path: string, success: number, handle: typeof list) =>
    route({ method: 'GET', path, doc: 'The versions of the Identity API.', access: 'anyone', success, handle });
  // 300 Multiple Choices is what Keystone answers, and clients read the body all the same.
  return [of('', 300, list), of('/', 300, list), of('/v3', 200, show), of('/v3/', 200, show)];
}

function versionView(base: string): object {
  return {
    id: 'v3.14',
    status: 'stable',
    updated: '2020-04-07T00:00:00Z',
    links: [{ rel: 'self', href: `${base}/v3/` }],
    'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
  };
}
