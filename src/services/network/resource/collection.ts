/**
 * The five routes of everything that the network service has: list, show, create (one or many), change, delete. What is
 * special of a resource is its `Kind`.
 */
import type { Transaction } from 'kysely';
import { type Static, type TSchema, Type } from 'typebox';
import type { Queries, Schema } from '#db/database.ts';
import { type List, listRows } from '#db/repo/network/list-rows.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import { mayRead, mayWrite, requireAdmin, requireOwner, scopeOf, type Who, whoOf } from '../access.ts';
import type { NetworkDeps } from '../deps.ts';
import { write } from '../write.ts';
import { pageLinks } from './links.ts';
import { type Fields, isPaged, LIST_QUERY, MAX_LIMIT, parseListQuery, type RawQuery, valuesOf } from './list-query.ts';

export type View = Readonly<Record<string, unknown>>;

/** Within the transaction of a change. */
export interface Change {
  readonly trx: Transaction<Schema>;
  readonly who: Who;
  readonly now: number;
}

interface Listed {
  readonly id: string;
  readonly project_id: string;
}

export interface Kind<Row extends Listed, New extends TSchema, Changes extends TSchema> {
  /** Key of one in bodies, and in names of rules: `security_group`. */
  readonly one: string;
  readonly many: string;
  /** Below `/v2.0`: `security-groups`. */
  readonly path: string;
  readonly fields: Fields;
  /** Filters that `list` reads by itself. */
  readonly special?: readonly string[];
  readonly list: (projectId: string | null, query: RawQuery) => List;
  readonly views: (db: Queries, rows: readonly Row[], who: Who) => Promise<View[]>;
  /** The error for one that is not there. */
  readonly missing: (id: string) => CloudError;
  readonly create: {
    readonly body: New;
    /** Of an administrator only, unless they are what everybody gets. */
    readonly adminOnly?: Readonly<Record<string, unknown>>;
    /** Answers id and networks that changed. */
    readonly run: (change: Change, body: Static<New>) => Promise<{ id: string; networks: readonly string[] }>;
  };
  readonly change?: {
    readonly body: Changes;
    readonly adminOnly?: readonly string[];
    /** Who does not own it may change it all the same; `run` looks who it is. */
    readonly byOthers?: true;
    /** Answers the networks that changed. */
    readonly run: (change: Change, row: Row, body: Static<Changes>) => Promise<readonly string[]>;
  };
  /** Answers the networks that changed. */
  readonly remove: (change: Change, row: Row) => Promise<readonly string[]>;
  /** Before a list: what comes into being when somebody looks. */
  readonly beforeList?: (who: Who, query: RawQuery) => Promise<void>;
  /** Whose things may be deleted and changed besides one's own. */
  readonly ownerOf?: (row: Row) => string;
}

/** Bulk requests are one transaction. */
const MAX_BULK = 200;

export function collectionRoutes<Row extends Listed, New extends TSchema, Changes extends TSchema>(
  deps: NetworkDeps,
  kind: Kind<Row, New, Changes>,
): readonly Route[] {
  const path = `/v2.0/${kind.path}`;
  const routes: Route[] = [
    route({
      method: 'GET',
      path,
      doc: `Lists ${kind.many}: own ones and those that everybody may see.`,
      access: mayRead(`get_${kind.one}`),
      query: LIST_QUERY,
      success: 200,
      async handle(request) {
        const query = request.query as RawQuery;
        const who = whoOf(request);
        const asked = parseListQuery(query, kind.fields, kind.special ?? []);
        await kind.beforeList?.(who, query);
        const rows = await listRows<Row>(deps.db.queries, kind.list(scopeOf(who), query), asked);
        if (!rows) throw new CloudError('badRequest', { reason: `marker [${asked.marker?.slice(0, 100)}] not found` });
        const views = await kind.views(deps.db.queries, rows, who);
        const page = { ids: rows.map(({ id }) => id), limit: asked.limit, isReverse: asked.isReverse };
        // A list that is cut though nobody asked for pages still says how it goes on.
        const hasLinks = isPaged(query) || rows.length === MAX_LIMIT;
        return {
          body: {
            [kind.many]: views.map((view) => pick(view, query)),
            ...(hasLinks && { [`${kind.many}_links`]: pageLinks(`${request.base}${path}`, query, page) }),
          },
        };
      },
    }),
    route({
      method: 'GET',
      path: `${path}/:id`,
      doc: `Shows one of the ${kind.many}.`,
      access: mayRead(`get_${kind.one}`),
      query: LIST_QUERY,
      success: 200,
      async handle(request) {
        const who = whoOf(request);
        const row = await find(deps.db.queries, kind, request.params.id ?? '', who);
        const [view = {}] = await kind.views(deps.db.queries, [row], who);
        return { body: { [kind.one]: pick(view, request.query as RawQuery) } };
      },
    }),
    route({
      method: 'POST',
      path,
      doc: `Makes one of the ${kind.many}, or several.`,
      access: mayWrite(`create_${kind.one}`),
      body: bodyOf(kind.one, kind.many, kind.create.body),
      success: 201,
      async handle(request) {
        const who = whoOf(request);
        const body = request.body as Readonly<Record<string, unknown>>;
        const isBulk = Object.hasOwn(body, kind.many);
        // The schema has looked at each.
        const wanted = (isBulk ? body[kind.many] : [body[kind.one]]) as Static<New>[];
        for (const each of wanted) checkCreate(kind, who, each as Readonly<Record<string, unknown>>);
        const ids = await write(deps, async (trx) => {
          const made: { id: string; networks: readonly string[] }[] = [];
          for (const each of wanted) made.push(await kind.create.run({ trx, who, now: deps.now() }, each));
          return { result: made.map(({ id }) => id), networks: made.flatMap(({ networks }) => networks) };
        });
        const views = await viewsOf(deps.db.queries, kind, ids, who);
        return { body: isBulk ? { [kind.many]: views } : { [kind.one]: views[0] } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${path}/:id`,
      doc: `Deletes one of the ${kind.many}.`,
      access: mayWrite(`delete_${kind.one}`),
      success: 204,
      async handle(request) {
        const who = whoOf(request);
        await write(deps, async (trx) => {
          const row = await find(trx, kind, request.params.id ?? '', who);
          requireOwner(who, ownerIn(kind, row, who), `delete_${kind.one}`);
          return { result: null, networks: await kind.remove({ trx, who, now: deps.now() }, row) };
        });
        return {};
      },
    }),
  ];
  const { change } = kind;
  if (!change) return routes;
  return [
    ...routes,
    route({
      method: 'PUT',
      path: `${path}/:id`,
      doc: `Changes one of the ${kind.many}.`,
      access: mayWrite(`update_${kind.one}`),
      body: Type.Object({ [kind.one]: change.body }, { additionalProperties: false }),
      success: 200,
      async handle(request) {
        const who = whoOf(request);
        // The schema has looked at it.
        const body = (request.body as Readonly<Record<string, unknown>>)[kind.one] as Static<Changes>;
        const id = await write(deps, async (trx) => {
          const row = await find(trx, kind, request.params.id ?? '', who);
          if (!change.byOthers) requireOwner(who, ownerIn(kind, row, who), `update_${kind.one}`);
          for (const name of change.adminOnly ?? [])
            if (Object.hasOwn(body as object, name)) requireAdmin(who, `update_${kind.one}:${name}`);
          return { result: row.id, networks: await change.run({ trx, who, now: deps.now() }, row, body) };
        });
        const [view] = await viewsOf(deps.db.queries, kind, [id], who);
        return { body: { [kind.one]: view } };
      },
    }),
  ];
}

/** The row, if the caller may see it; else the resource's 404. */
export async function find<Row extends Listed, New extends TSchema, Changes extends TSchema>(
  db: Queries,
  kind: Kind<Row, New, Changes>,
  id: string,
  who: Who,
): Promise<Row> {
  const [row] = await rowsOf(db, kind, [id], who);
  if (!row) throw kind.missing(id.slice(0, 100));
  return row;
}

function ownerIn<Row extends Listed>(
  kind: { readonly ownerOf?: (row: Row) => string },
  row: Row,
  who: Who,
): { readonly project_id: string } {
  const isNetworkOwner = kind.ownerOf?.(row) === who.projectId;
  return isNetworkOwner ? { project_id: who.projectId } : row;
}

async function rowsOf<Row extends Listed, New extends TSchema, Changes extends TSchema>(
  db: Queries,
  kind: Kind<Row, New, Changes>,
  ids: readonly string[],
  who: Who,
): Promise<Row[]> {
  const rows = await listRows<Row>(db, kind.list(scopeOf(who), {}), {
    filters: [{ column: 'id', values: ids }],
    tags: { all: [], any: [], notAll: [], notAny: [] },
    sort: [{ column: 'id', direction: 'asc' }],
    limit: ids.length,
    marker: null,
    isReverse: false,
  });
  const byId = new Map((rows ?? []).map((row) => [row.id, row]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

async function viewsOf<Row extends Listed, New extends TSchema, Changes extends TSchema>(
  db: Queries,
  kind: Kind<Row, New, Changes>,
  ids: readonly string[],
  who: Who,
): Promise<View[]> {
  return kind.views(db, await rowsOf(db, kind, ids, who), who);
}

function checkCreate(
  { one, create }: { one: string; create: { adminOnly?: Readonly<Record<string, unknown>> } },
  who: Who,
  body: Readonly<Record<string, unknown>>,
): void {
  for (const [name, everybody] of Object.entries(create.adminOnly ?? {}))
    if (Object.hasOwn(body, name) && body[name] !== everybody) requireAdmin(who, `create_${one}:${name}`);
}

/** One under its name, or several under theirs. */
function bodyOf(one: string, many: string, schema: TSchema): TSchema {
  const list = Type.Array(schema, { minItems: 1, maxItems: MAX_BULK });
  return Type.Object(
    { [one]: Type.Optional(schema), [many]: Type.Optional(list) },
    { additionalProperties: false, minProperties: 1, maxProperties: 1 },
  );
}

function pick(view: View, query: RawQuery): View {
  const fields = new Set(valuesOf(query.fields).flatMap((each) => each.split(',')));
  fields.delete('');
  return fields.size === 0 ? view : Object.fromEntries(Object.entries(view).filter(([name]) => fields.has(name)));
}
