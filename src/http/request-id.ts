/**
 * The request id: `req-<uuid>`, taken from the client when it has exactly that form, else made here.
 *
 * Source: OpenStack spec "Global Request IDs". Any other text is refused, since it ends up in logs and in headers.
 */
import { randomUUID } from 'node:crypto';

const FORM = /^req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function requestIdFrom(header: string | string[] | undefined): string {
  return typeof header === 'string' && FORM.test(header) ? header : newRequestId();
}

export function newRequestId(): string {
  return `req-${randomUUID()}`;
}
