/** `POST /servers/{id}/action`: one key of the body names the action. */
import { randomUUID } from 'node:crypto';
import type { TSchema } from 'typebox';
import { computeContract } from '#contracts/compute.ts';
import { RESERVE_IMAGE, type SnapshotInput, VERSIONS } from '#contracts/operation-inputs.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/states.ts';
import { caller } from '#http/auth.ts';
import { type Answer, type Route, route, type ServiceRequest } from '#http/route.ts';
import { validate } from '#http/validate.ts';
import type { ApiDeps } from '../api-deps.ts';
import { acceptOn, guarded } from './routes.ts';
import { ACTION, CREATE_IMAGE, GET_CONSOLE_OUTPUT } from './schemas.ts';
import { flavorOf } from './view.ts';
import { visibleServer } from './visible-server.ts';

type ActionRequest = ServiceRequest<unknown, unknown>;

interface Action {
  readonly schema: TSchema;
  readonly handle: (deps: ApiDeps, request: ActionRequest, row: ServerRow, argument: never) => Promise<Answer>;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  createImage: { schema: CREATE_IMAGE, handle: createImage },
  'os-getConsoleOutput': { schema: GET_CONSOLE_OUTPUT, handle: getConsoleOutput },
};

export function serverActionRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v2.1/servers/:id/action',
      doc: `Acts on a server: ${Object.keys(ACTIONS).join(', ')}.`,
      access: { rule: 'os_compute_api:servers:action', role: 'member' },
      body: ACTION,
      success: 202,
      handle: async (request) => {
        const [name, argument] = Object.entries(request.body)[0] ?? ['', null];
        const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
        if (!action) throw new CloudError('badRequest', { reason: `There is no such action: ${name.slice(0, 100)}` });
        validate(action.schema, argument, 'body');
        // Of the action's own schema, checked on the line above.
        return action.handle(deps, request, await visibleServer(deps, request), argument as never);
      },
    }),
  ];
}

const MAX_PROPERTIES = 128;

async function createImage(
  deps: ApiDeps,
  request: ActionRequest,
  row: ServerRow,
  wanted: { readonly name: string; readonly metadata?: Readonly<Record<string, string>> },
): Promise<Answer> {
  checkAllowed('createImage', guarded(row), caller(request));
  if (Object.keys(wanted.metadata ?? {}).length > MAX_PROPERTIES) {
    throw new CloudError('forbidden', { reason: `Maximum number of metadata items exceeds ${MAX_PROPERTIES}` });
  }
  const imageId = randomUUID();
  const input: SnapshotInput = {
    imageId,
    name: wanted.name,
    minDiskGib: flavorOf(row).diskGib,
    minRamMib: 0,
    properties: {
      ...wanted.metadata,
      base_image_ref: row.image_id,
      image_type: 'snapshot',
      instance_uuid: row.id,
      user_id: row.user_id,
      owner_id: row.project_id,
    },
  };
  const operationId = await acceptOn(deps, request, row, { kind: 'createImage', version: VERSIONS.createImage, input });
  // Clients look at the image as soon as they have the answer, so it must exist by then.
  await deps.conductor.awaitStep({ operationId, step: RESERVE_IMAGE });
  if (request.version >= 45) return { body: { image_id: imageId } };
  return { headers: { location: `${request.base.replace(/\/compute$/, '')}/image/v2/images/${imageId}` } };
}

const MAX_CONSOLE_BYTES = 102_400;

async function getConsoleOutput(
  deps: ApiDeps,
  _request: ActionRequest,
  row: ServerRow,
  wanted: { readonly length?: number | string | null },
): Promise<Answer> {
  if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
  const agent = deps.rpc.client(computeContract, 'nova-api', row.host);
  const { output } = await agent.consoleOutput({ serverId: row.id, maxBytes: MAX_CONSOLE_BYTES });
  const lines = wanted.length === undefined || wanted.length === null ? -1 : Number(wanted.length);
  return { status: 200, body: { output: lines < 0 ? output : lastLines(output, lines) } };
}

function lastLines(text: string, count: number): string {
  if (count === 0) return '';
  const lines = text.split('\n');
  const ended = lines.at(-1) === '' ? 1 : 0;
  return lines.slice(-(count + ended)).join('\n');
}
