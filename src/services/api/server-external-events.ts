/**
 * What a network or volume service tells of a server. It is taken note of and nothing waits for it yet: ports and volumes are not
 * theirs here. Source: Nova's API reference, "Create external events".
 */
import { type TSchema, Type } from 'typebox';
import { findServer } from '#db/repo/servers.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from './api-deps.ts';

const strict = { additionalProperties: false };
const V1 = ['network-changed', 'network-vif-plugged', 'network-vif-unplugged', 'network-vif-deleted'];
const V51 = [...V1, 'volume-extended'];
const V76 = [...V51, 'power-update'];
const V82 = [...V76, 'accelerator-request-bound'];

const events = (names: readonly string[]): TSchema =>
  Type.Object(
    {
      events: Type.Array(
        Type.Object(
          {
            name: Type.Enum([...names]),
            server_uuid: Type.String({ format: 'uuid', maxLength: 36 }),
            status: Type.Optional(Type.Enum(['failed', 'completed', 'in-progress'])),
            tag: Type.Optional(Type.String({ maxLength: 255 })),
          },
          strict,
        ),
        { minItems: 1, maxItems: 1000 },
      ),
    },
    strict,
  );

const CREATE = [
  { from: 1, schema: events(V1) },
  { from: 51, schema: events(V51) },
  { from: 76, schema: events(V76) },
  { from: 82, schema: events(V82) },
];

interface Event {
  readonly name: string;
  readonly server_uuid: string;
  readonly status?: string;
  readonly tag?: string;
}

const DONE = 200;
const SOME_FAILED = 207;

export function serverExternalEventRoutes({ db, log }: ApiDeps): Route[] {
  /** 404 for a server that is not there, 422 for one that is on no host. */
  const codeOf = async ({ server_uuid: id }: Event): Promise<number> => {
    const server = await findServer(db.queries, id, null);
    if (!server) return 404;
    return server.host === null ? 422 : DONE;
  };
  return [
    route({
      method: 'POST',
      path: '/v2.1/os-server-external-events',
      doc: 'Takes note of what other services tell of servers; answers 207 where some of it could not be.',
      access: { rule: 'os_compute_api:os-server-external-events:create', role: 'admin' },
      body: CREATE,
      success: DONE,
      handle: async (request) => {
        // Checked against the schema in force; the type is what all of them have in common.
        const told = (request.body as { events: readonly Event[] }).events;
        const answers: object[] = [];
        let status = DONE;
        for (const event of told) {
          const code = await codeOf(event);
          if (code !== DONE) status = SOME_FAILED;
          else log.info({ instance_id: event.server_uuid, event: event.name, tag: event.tag }, 'external event');
          answers.push({ status: 'completed', ...event, code, ...(code !== DONE && { status: 'failed' }) });
        }
        return { status, body: { events: answers } };
      },
    }),
  ];
}
