/**
 * `/healthcheck`, as oslo.middleware offers it on the port of an OpenStack API: for load balancers that know nothing else.
 *
 * Without a token, so it says that something is wrong and not what; that is told at `/readyz` of the process's own listener.
 * Paths: at the root, where Nova and Glance have it, and below each service's prefix, where DevStack's web server puts them.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Answers the parts that are not ready; empty: all is well. */
export type LookAtHealth = () => Promise<readonly string[]>;

/** The types that oslo.middleware knows; without one of them the answer is plain text, never 406. */
const TYPES = ['text/plain', 'text/html', 'application/json'] as const;

export function addHealthcheck(
  server: FastifyInstance,
  services: readonly { readonly prefix: string }[],
  look: LookAtHealth,
): void {
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const troubles = await look();
    const reasons = troubles.length === 0 ? ['OK'] : troubles.map((part) => `NOT READY: ${part}`);
    const isHead = request.method === 'HEAD';
    const type = typeOf(request.headers.accept);
    reply
      .code(troubles.length > 0 ? 503 : isHead ? 204 : 200)
      .header('content-type', type === 'application/json' ? type : `${type}; charset=UTF-8`)
      .header('cache-control', 'no-store');
    return isHead ? reply.send() : reply.send(bodyOf(type, reasons));
  };
  for (const prefix of ['', ...services.map((each) => each.prefix)])
    server.route({ method: ['GET', 'HEAD'], url: `${prefix}/healthcheck`, handler });
}

function typeOf(accept: string | undefined): (typeof TYPES)[number] {
  const offered = (accept ?? '').split(',').map((each) => each.split(';')[0]?.trim().toLowerCase() ?? '');
  return TYPES.find((type) => offered.includes(type)) ?? 'text/plain';
}

function bodyOf(type: (typeof TYPES)[number], reasons: readonly string[]): string {
  switch (type) {
    case 'application/json':
      return JSON.stringify({ detailed: false, reasons }, null, 4);
    case 'text/html':
      return `<HTML>\n<HEAD><TITLE>Healthcheck Status</TITLE></HEAD>\n<BODY>\n<H2>Result of ${reasons.length} checks:</H2>
<TABLE><TBODY>\n${reasons.map((reason) => `<TR><TD>${reason}</TD></TR>`).join('\n')}\n</TBODY></TABLE>\n</BODY>\n</HTML>\n`;
    case 'text/plain':
      return reasons.join('\n');
  }
}
