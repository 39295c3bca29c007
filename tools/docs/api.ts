/** The HTTP API, from the routes themselves: a page to read, and an OpenAPI 3.1 document. */
import type { TSchema } from 'typebox';
import { type Route, schemaAt, type Versioned } from '#http/route.ts';
import type { Service } from '#http/server.ts';
import { computeService } from '#services/api/compute-service.ts';
import { MICROVERSIONS } from '#services/api/versions.ts';
import { identityService } from '#services/identity/identity-service.ts';
import { imageService } from '#services/image/image-service.ts';
import { networkService } from '#services/network/network-service.ts';
import { page, table } from './markdown.ts';

/** Describing a service touches none of what it works with. */
function services(): Service[] {
  const nothing: unknown = new Proxy({}, { get: () => nothing });
  return [
    computeService(nothing as never),
    identityService(nothing as never),
    imageService(nothing as never),
    networkService(nothing as never),
  ];
}

export function apiPage(): string {
  const sections = services().map((service) => {
    const rows = service.routes.map((route) => [
      `\`${route.method} ${service.prefix}${route.path}\``,
      route.doc,
      accessOf(route),
      String(route.success),
      versionsOf(route),
    ]);
    const keys = service.routes.find((route) => route.answerKeys && route.path.endsWith('/:id'))?.answerKeys ?? [];
    const keyRows = keys.map(({ key, from, until, who }) => [
      `\`${key}\``,
      from === undefined ? '2.1' : `2.${from}`,
      until === undefined ? '' : `2.${until}`,
      who ?? 'everybody',
    ]);
    const keyTable =
      keyRows.length > 0 ? `\n\n### Keys of a server\n\n${table(['key', 'from', 'until', 'seen by'], keyRows)}` : '';
    return `## ${service.name}\n\n${table(['route', 'does', 'who', 'success', 'versions'], rows)}${keyTable}`;
  });
  return page('HTTP API', 'the routes of src/services/', sections.join('\n\n'));
}

function accessOf({ access }: Route): string {
  return typeof access === 'string' ? access : `${access.role} (\`${access.rule}\`)`;
}

function versionsOf({ from, until, body, query }: Route): string {
  const own = from === undefined && until === undefined ? '' : `2.${from ?? 1} to 2.${until ?? MICROVERSIONS.max}`;
  const changes = [body, query].flatMap((each) =>
    Array.isArray(each) ? each.slice(1).map((entry: { from: number }) => `2.${entry.from}`) : [],
  );
  return [own, changes.length > 0 ? `changed in ${changes.join(', ')}` : ''].filter(Boolean).join('; ');
}

export function openApiDocument(): string {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const service of services()) {
    for (const route of service.routes) {
      const path = `${service.prefix}${route.path}`.replace(/:(\w+)/g, '{$1}');
      paths[path] ??= {};
      paths[path][route.method.toLowerCase()] = operationOf(service, route, path);
    }
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Micronova',
      version: '0.1.0',
      description: `Bodies of the compute service are those of microversion 2.${MICROVERSIONS.max}.`,
    },
    paths,
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function operationOf(service: Service, route: Route, path: string): object {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const query = newest(route.query) as { properties?: Record<string, object> } | undefined;
  const queries = Object.entries(query?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    schema,
  }));
  const body = newest(route.body);
  const type = route.consumes?.[0] ?? 'application/json';
  return {
    tags: [service.name],
    summary: route.doc,
    parameters: [...parameters, ...queries],
    ...(body && { requestBody: { content: { [type]: { schema: body } } } }),
    responses: { [route.success]: { description: 'Success' } },
  };
}

function newest(versioned: Versioned<TSchema> | undefined): TSchema | undefined {
  return schemaAt(versioned, MICROVERSIONS.max);
}
