/**
 * Where the services are: one region, one port, paths as DevStack has them. The addresses are made from the one by
 * which the client came, so that they are reachable for it whatever name or tunnel it uses.
 */
import { createHash } from 'node:crypto';

export const REGION = 'RegionOne';
export const INTERFACES = ['public', 'internal', 'admin'] as const;

export interface CatalogueService {
  readonly type: string;
  readonly name: string;
  readonly description: string;
  /** Behind `scheme://host:port`. */
  readonly path: string;
}

/** What a cloud of this release always has. */
export const CATALOGUE: readonly CatalogueService[] = [
  { type: 'identity', name: 'keystone', description: 'Identity', path: '/identity' },
  { type: 'compute', name: 'nova', description: 'Compute', path: '/compute/v2.1' },
  { type: 'image', name: 'glance', description: 'Image', path: '/image' },
  { type: 'network', name: 'neutron', description: 'Network', path: '/network' },
];

export interface Endpoint {
  readonly id: string;
  readonly interface: (typeof INTERFACES)[number];
  readonly region: string;
  readonly regionId: string;
  readonly serviceId: string;
  readonly url: string;
}

export interface LocatedService extends CatalogueService {
  readonly id: string;
  readonly endpoints: readonly Endpoint[];
}

/** The services as a client reaches them who reached this one at `base`: `http://host:port` or that with `/identity`. */
export function catalogue(services: readonly CatalogueService[], base: string): LocatedService[] {
  const origin = base.replace(/\/identity$/, '');
  return services.map((service) => {
    const serviceId = stableId(service.type);
    return {
      ...service,
      id: serviceId,
      endpoints: INTERFACES.map((each) => ({
        id: stableId(`${service.type}/${each}`),
        interface: each,
        region: REGION,
        regionId: REGION,
        serviceId,
        url: `${origin}${service.path}`,
      })),
    };
  });
}

/** The catalogue as tokens carry it. */
export function catalogueView(services: readonly CatalogueService[], base: string): unknown[] {
  return catalogue(services, base).map(({ id, type, name, endpoints }) => ({
    id,
    type,
    name,
    endpoints: endpoints.map((endpoint) => ({
      id: endpoint.id,
      interface: endpoint.interface,
      region: endpoint.region,
      region_id: endpoint.regionId,
      url: endpoint.url,
    })),
  }));
}

/** The same 32 hex digits in every process and after every start. */
function stableId(name: string): string {
  return createHash('sha256').update(`micronova/${name}`).digest('hex').slice(0, 32);
}
