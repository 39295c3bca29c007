/**
 * What a route of any service is: described once, as data, so that validation, access rules, OpenAPI and the API
 * reference all come from the same lines.
 */
import type { Writable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { Static, TSchema } from 'typebox';
import type { Access, AuthContext } from './auth.ts';

/** A schema that changed with microversions: the entry with the highest `from` not above the request's is used. */
export type Versioned<Schema extends TSchema> = Schema | readonly { readonly from: number; readonly schema: Schema }[];

/** A key of an answer, with the microversion that brought it and the one that dropped it (both the minor of `2.x`). */
export interface AnswerKey {
  readonly key: string;
  readonly from?: number;
  readonly until?: number;
  readonly who?: 'admin';
}

export interface ServiceRequest<Body = unknown, Query = Record<string, string | string[]>> {
  /** Null only where `access` is `anyone`; use `caller()` elsewhere. */
  readonly auth: AuthContext | null;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** The minor of the microversion `2.x` in force; 0 for services without microversions. */
  readonly version: number;
  readonly requestId: string;
  /** The service's address as this client wrote it, for links: `http://host:port/compute`. */
  readonly base: string;
  /** For streams and headers; routes that only speak JSON do not need it. */
  readonly raw: FastifyRequest;
}

/** Writes the body of an answer whose headers have been sent, at the client's pace. When it throws, the connection is cut. */
export type BodyWriter = (to: Writable) => Promise<void>;

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * An object is sent as JSON; a string, buffer or stream as it is (give a `content-type`); a `BodyWriter` writes by
   * itself. Absent: no body.
   */
  readonly body?: unknown;
}

export interface Route {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the service's prefix, with `:name` parameters. */
  readonly path: string;
  readonly doc: string;
  readonly access: Access;
  /** First and last microversion (minor) that has this route. */
  readonly from?: number;
  readonly until?: number;
  readonly query?: Versioned<TSchema>;
  readonly body?: Versioned<TSchema>;
  /** Media types the body may have; JSON where not given. `application/octet-stream` bodies arrive as a stream. */
  readonly consumes?: readonly string[];
  /** Status of a success, for the reference; the handler's answer may override it. */
  readonly success: number;
  readonly answerKeys?: readonly AnswerKey[];
  readonly handle: (request: ServiceRequest<never, never>) => Answer | Promise<Answer>;
}

interface TypedRoute<Body extends TSchema, Query extends TSchema> extends Omit<Route, 'body' | 'query' | 'handle'> {
  readonly body?: Versioned<Body>;
  readonly query?: Versioned<Query>;
  readonly handle: (request: ServiceRequest<Static<Body>, Static<Query>>) => Answer | Promise<Answer>;
}

/** Describes a route; the handler's `body` and `query` have the types of their schemas. */
export function route<Body extends TSchema, Query extends TSchema>(description: TypedRoute<Body, Query>): Route {
  // The server validates body and query against these very schemas before it calls the handler.
  return description as unknown as Route;
}

/** The schema in force at `version`, or undefined where the route has none yet. */
export function schemaAt(versioned: Versioned<TSchema> | undefined, version: number): TSchema | undefined {
  if (versioned === undefined) return undefined;
  if (!Array.isArray(versioned)) return versioned as TSchema;
  return versioned.findLast((entry: { from: number }) => entry.from <= version)?.schema;
}
