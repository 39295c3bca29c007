/** Remote consoles from 2.6 on, and what a proxy of Nova's asks about their tokens. */
import { Type } from 'typebox';
import { findConsoleToken } from '#db/repo/console-tokens.ts';
import { findServer } from '#db/repo/servers.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { visibleServer } from '../servers/visible-server.ts';
import { type ConsoleType, consoleLink } from './link.ts';
import { consoleTypeInvalid, consoleTypeUnavailable } from './unavailable.ts';

const strict = { additionalProperties: false };
const PROTOCOLS = ['vnc', 'spice', 'rdp', 'serial'];
const TYPES = ['novnc', 'xvpvnc', 'rdp-html5', 'spice-html5', 'serial'];

const body = (protocols: readonly string[], types: readonly string[]) =>
  Type.Object(
    {
      remote_console: Type.Object({ protocol: Type.Enum([...protocols]), type: Type.Enum([...types]) }, strict),
    },
    strict,
  );

const CREATE = [
  { from: 6, schema: body(PROTOCOLS, TYPES) },
  { from: 8, schema: body([...PROTOCOLS, 'mks'], [...TYPES, 'webmks']) },
];

/** The one type that each protocol has here. */
const OFFERED: Readonly<Record<string, ConsoleType>> = { vnc: 'novnc', serial: 'serial' };

export function consoleRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v2.1/servers/:id/remote-consoles',
      from: 6,
      doc: 'Answers a URL that opens the screen or the serial line of a server, for a while.',
      access: { rule: 'os_compute_api:os-remote-consoles', role: 'member' },
      body: CREATE,
      success: 200,
      handle: async (request) => {
        // Checked against the schema in force, which knows no other words.
        const { protocol, type } = (request.body as { remote_console: { protocol: string; type: string } })
          .remote_console;
        const row = await visibleServer(deps, request);
        const offered = OFFERED[protocol];
        if (offered === undefined) throw consoleTypeUnavailable(type);
        if (type !== offered) throw consoleTypeInvalid(type);
        return { body: { remote_console: { protocol, type, url: await consoleLink(deps, request, row, offered) } } };
      },
    }),
    route({
      method: 'GET',
      path: '/v2.1/os-console-auth-tokens/:token',
      doc: 'Says which server a console token opens; for administrators. Until 2.30 for RDP alone, which there is not.',
      access: { rule: 'os_compute_api:os-console-auth-tokens', role: 'admin' },
      success: 200,
      handle: async (request) => {
        const { queries } = deps.db;
        const grant = await findConsoleToken(queries, request.params.token ?? '', deps.now());
        const row = grant && (await findServer(queries, grant.server_id, null));
        if (!row) throw new CloudError('notThere', { reason: 'Token not found' });
        if (request.version < 31) throw new CloudError('unauthorized', {});
        // Consoles are sockets in the guest's folder: they have no port, and nothing outside reaches them.
        return {
          body: { console: { instance_uuid: row.id, host: row.host, port: null, internal_access_path: null } },
        };
      },
    }),
  ];
}
