/** Up to 2.52 a compute host is put into service and out of it by its name, each way at an address of its own. */
import { type TSchema, Type } from 'typebox';
import { changeHost, type HostSettings } from '#db/repo/host-settings.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean, LooseBoolean } from '../loose-types.ts';
import { COMPUTE } from './view.ts';

export const PATH = '/v2.1/os-services';

const strict = { additionalProperties: false };
const Target = {
  host: Type.String({ minLength: 1, maxLength: 255 }),
  binary: Type.String({ minLength: 1, maxLength: 255 }),
};
const Optionally = { disabled_reason: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })) };

interface Body {
  readonly host: string;
  readonly binary: string;
  readonly disabled_reason?: string;
  readonly forced_down?: boolean | string | number;
}

interface ByName {
  readonly name: string;
  readonly doc: string;
  readonly from?: number;
  readonly body: TSchema;
  readonly settings: (body: Body) => HostSettings;
  readonly answer: (body: Body) => object;
}

const BY_NAME: readonly ByName[] = [
  {
    name: 'enable',
    doc: 'Puts a compute host into service.',
    body: Type.Object({ ...Target, ...Optionally }, strict),
    settings: () => ({ enabled: 1, disabled_reason: null }),
    answer: () => ({ status: 'enabled' }),
  },
  {
    name: 'disable',
    doc: 'Takes a compute host out of service: nothing new comes to it.',
    body: Type.Object({ ...Target, ...Optionally }, strict),
    settings: () => ({ enabled: 0, disabled_reason: null }),
    answer: () => ({ status: 'disabled' }),
  },
  {
    name: 'disable-log-reason',
    doc: 'The same with the reason, which is shown.',
    body: Type.Object({ ...Target, disabled_reason: Type.String({ minLength: 1, maxLength: 255 }) }, strict),
    settings: (body) => ({ enabled: 0, disabled_reason: body.disabled_reason ?? null }),
    answer: (body) => ({ status: 'disabled', disabled_reason: body.disabled_reason }),
  },
  {
    name: 'force-down',
    doc: 'Says that a compute host is dead whatever its agent says, or no longer.',
    from: 11,
    body: Type.Object({ ...Target, forced_down: LooseBoolean }, strict),
    settings: (body) => ({ forced_down: asBoolean(body.forced_down) ? 1 : 0 }),
    answer: (body) => ({ forced_down: asBoolean(body.forced_down) }),
  },
];

export function byNameRoutes({ db }: ApiDeps): Route[] {
  return BY_NAME.map(({ name, doc, from, body: schema, settings, answer }) =>
    route({
      method: 'PUT',
      path: `${PATH}/${name}`,
      doc,
      access: { rule: 'os_compute_api:os-services:update', role: 'admin' },
      ...(from !== undefined && { from }),
      until: 52,
      body: schema,
      success: 200,
      handle: async (request) => {
        // Of the schema above.
        const body = request.body as Body;
        const { host, binary } = body;
        if (/^nova-(conductor|scheduler)$/.test(binary)) throw onlyCompute();
        const changed = binary === COMPUTE && (await changeHost(db.queries, host, settings(body)));
        if (!changed) throw new CloudError('notThere', { reason: `Could not find binary ${binary} on host ${host}.` });
        return { body: { service: { host, binary, ...answer(body) } } };
      },
    }),
  );
}

export function onlyCompute(): CloudError {
  return new CloudError('badRequest', {
    reason: `Updating a service that is no ${COMPUTE} is not supported. Only ${COMPUTE} services can be updated.`,
  });
}
