/** Services, endpoints and regions, to read: the catalogue is made by the cloud, not by its users. */
import { Type } from 'typebox';
import { type Route, route } from '#http/route.ts';
import { catalogue, type Endpoint, type LocatedService, REGION } from '../catalogue.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { listing } from '../listing.ts';
import { adminMay } from '../policy.ts';
import { notFound } from '../unique-names.ts';

const text = Type.Optional(Type.String());
const ServiceQuery = Type.Object({ type: text, name: text });
const EndpointQuery = Type.Object({ interface: text, service_id: text, region_id: text });

export function catalogRoutes(deps: IdentityDeps): readonly Route[] {
  const services = (base: string) => catalogue(deps.catalogue, base);
  const endpoints = (base: string) => services(base).flatMap((service) => service.endpoints);
  const fits = (wanted: string | undefined, value: string) => wanted === undefined || wanted === value;
  return [
    route({
      method: 'GET',
      path: '/v3/services',
      doc: 'List the services of the catalogue, by type and name.',
      access: adminMay('list_services'),
      query: ServiceQuery,
      success: 200,
      handle: ({ query, base }) => {
        const found = services(base).filter((each) => fits(query.type, each.type) && fits(query.name, each.name));
        const views = found.map((service) => serviceView(service, base));
        return { body: listing('services', views, `${base}/v3/services`) };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/services/:serviceId',
      doc: 'Show a service of the catalogue.',
      access: adminMay('get_service'),
      success: 200,
      handle: ({ params: { serviceId = '' }, base }) => {
        const service = services(base).find((each) => each.id === serviceId);
        if (!service) throw notFound('service', serviceId);
        return { body: { service: serviceView(service, base) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/endpoints',
      doc: 'List the endpoints of the catalogue, by interface, service and region.',
      access: adminMay('list_endpoints'),
      query: EndpointQuery,
      success: 200,
      handle: ({ query, base }) => {
        const found = endpoints(base).filter(
          (each) =>
            fits(query.interface, each.interface) &&
            fits(query.service_id, each.serviceId) &&
            fits(query.region_id, each.regionId),
        );
        const views = found.map((endpoint) => endpointView(endpoint, base));
        return { body: listing('endpoints', views, `${base}/v3/endpoints`) };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/endpoints/:endpointId',
      doc: 'Show an endpoint of the catalogue.',
      access: adminMay('get_endpoint'),
      success: 200,
      handle: ({ params: { endpointId = '' }, base }) => {
        const endpoint = endpoints(base).find((each) => each.id === endpointId);
        if (!endpoint) throw notFound('endpoint', endpointId);
        return { body: { endpoint: endpointView(endpoint, base) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/regions',
      doc: 'List regions: RegionOne.',
      access: 'token',
      success: 200,
      handle: ({ base }) => ({ body: listing('regions', [regionView(base)], `${base}/v3/regions`) }),
    }),
    route({
      method: 'GET',
      path: '/v3/regions/:regionId',
      doc: 'Show a region.',
      access: 'token',
      success: 200,
      handle: ({ params: { regionId = '' }, base }) => {
        if (regionId !== REGION) throw notFound('region', regionId);
        return { body: { region: regionView(base) } };
      },
    }),
  ];
}

function serviceView({ id, type, name, description }: LocatedService, base: string): object {
  return { id, type, name, description, enabled: true, links: { self: `${base}/v3/services/${id}` } };
}

function endpointView(endpoint: Endpoint, base: string): object {
  return {
    id: endpoint.id,
    interface: endpoint.interface,
    region: endpoint.region,
    region_id: endpoint.regionId,
    service_id: endpoint.serviceId,
    url: endpoint.url,
    enabled: true,
    links: { self: `${base}/v3/endpoints/${endpoint.id}` },
  };
}

function regionView(base: string): object {
  return { id: REGION, description: '', parent_region_id: null, links: { self: `${base}/v3/regions/${REGION}` } };
}
