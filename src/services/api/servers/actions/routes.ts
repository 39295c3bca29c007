/** `POST /servers/{id}/action`: one key of the body names the action. */
import { Type } from 'typebox';
import { CloudError } from '#domain/errors.ts';
import { type Route, route, schemaAt } from '#http/route.ts';
import { validate } from '#http/validate.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { consoleActions } from '../../consoles/actions.ts';
import { onServer } from '../visible-server.ts';
import type { Action } from './action.ts';
import { adminActions } from './admin.ts';
import { consoleOutputActions } from './console-output.ts';
import { deletionActions } from './deletion.ts';
import { evacuateActions } from './evacuate.ts';
import { fixedIpActions } from './fixed-ips.ts';
import { imageActions } from './images.ts';
import { liveMigrationActions } from './live-migration.ts';
import { lockActions } from './lock.ts';
import { moveActions } from './moves.ts';
import { passwordActions } from './password.ts';
import { powerActions } from './power.ts';
import { rebuildActions } from './rebuild.ts';
import { rescueActions } from './rescue.ts';
import { securityGroupActions } from './security-groups.ts';
import { shelveActions } from './shelve.ts';

/** All of them, by the name that clients send. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  ...powerActions,
  ...lockActions,
  ...rescueActions,
  ...imageActions,
  ...rebuildActions,
  ...shelveActions,
  ...moveActions,
  ...evacuateActions,
  ...liveMigrationActions,
  ...passwordActions,
  ...deletionActions,
  ...securityGroupActions,
  ...fixedIpActions,
  ...consoleOutputActions,
  ...consoleActions,
  ...adminActions,
};

/** One key names the action; what is below it is checked by the action's own schema. */
const OneKey = Type.Object({}, { minProperties: 1, maxProperties: 1, additionalProperties: true });

export function serverActionRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v2.1/servers/:id/action',
      doc: `Acts on a server: ${Object.keys(ACTIONS).join(', ')}.`,
      access: { rule: 'os_compute_api:servers:action', role: 'member' },
      body: OneKey,
      success: 202,
      handle: async (request) => {
        const [name, argument] = Object.entries(request.body)[0] ?? ['', null];
        const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
        const schema = action && schemaAt(action.argument, request.version);
        const isThere =
          schema &&
          request.version >= (action.from ?? 0) &&
          request.version <= (action.until ?? Number.MAX_SAFE_INTEGER);
        if (!isThere) throw new CloudError('badRequest', { reason: `There is no such action: ${name.slice(0, 100)}` });
        validate(schema, argument, 'body');
        // Of the action's own schema, checked on the line above.
        return onServer(deps, request, (row) => action.handle(deps, request, row, argument as never));
      },
    }),
  ];
}
