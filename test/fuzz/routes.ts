/** Every route of every service, from the tables that the server mounts: a new one is fuzzed by being listed there. */
import type { Route } from '#http/route.ts';
import { computeService } from '#services/api/compute-service.ts';
import { identityService } from '#services/identity/identity-service.ts';
import { imageService } from '#services/image/image-service.ts';
import { networkService } from '#services/network/network-service.ts';

export type ServiceName = 'compute' | 'identity' | 'image' | 'network';

export interface Target {
  readonly service: ServiceName;
  readonly route: Route;
  /** `GET /compute/v2.1/servers` */
  readonly name: string;
}

/** Answers to every property and every call with itself: describing routes uses nothing of what handlers need. */
const nothing: unknown = new Proxy(() => {}, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => '' : nothing),
  apply: () => nothing,
});

export function allRoutes(): Target[] {
  // The dependencies are only used by handlers, none of which is called here.
  const deps = nothing as never;
  const services = [
    ['compute', computeService(deps)],
    ['identity', identityService(deps)],
    ['image', imageService(deps)],
    ['network', networkService(deps)],
  ] as const;
  return services.flatMap(([service, { prefix, routes }]) =>
    routes.map((route) => ({ service, route, name: `${route.method} ${prefix}${route.path}` })),
  );
}
