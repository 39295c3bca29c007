/** Where clients begin: the version, and what is below it. */
import { type Route, route } from '#http/route.ts';

const RESOURCES = ['network', 'subnet', 'port', 'router', 'floatingip'];

export function versionRoutes(): readonly Route[] {
  const version = (base: string) => ({
    id: 'v2.0',
    status: 'CURRENT',
    links: [{ rel: 'self', href: `${base}/v2.0/` }],
  });
  const root = (path: string) =>
    route({
      method: 'GET',
      path,
      doc: 'Versions of the network API.',
      access: 'anyone',
      success: 200,
      handle: ({ base }) => ({ body: { versions: [version(base)] } }),
    });
  const below = (path: string) =>
    route({
      method: 'GET',
      path,
      doc: 'What this version has.',
      access: 'anyone',
      success: 200,
      handle: ({ base }) => ({
        body: {
          resources: RESOURCES.map((name) => ({
            name,
            collection: `${name}s`,
            links: [{ rel: 'self', href: `${base}/v2.0/${name}s` }],
          })),
        },
      }),
    });
  return [root(''), root('/'), below('/v2.0'), below('/v2.0/')];
}
