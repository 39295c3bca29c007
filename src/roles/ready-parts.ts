/** The parts of a process that have to be there before it is sent work, and what an operator does when one is not. */
import { sql } from 'kysely';
import type { Transport } from '#bus/transport.ts';
import type { Database } from '#db/database.ts';
import { Readiness, type Trouble } from '#services/health/readiness.ts';

const BUS = 'See that RabbitMQ runs and that `bus` is its address. This process connects again by itself.';
const RECORD = 'See that PostgreSQL runs and that `database` is its address. This process connects again by itself.';
const ROLES = 'It has just begun, or waits for another process (an agent for a conductor). See its log.';

/** Before anything is there. */
export function nothingReady(needs: { readonly record: boolean }): Readiness {
  const readiness = new Readiness();
  readiness.part('bus', () => ({ reason: 'the bus has not been reached yet', hint: BUS }));
  if (needs.record) readiness.part('record', () => ({ reason: 'the record is not open yet', hint: RECORD }));
  readiness.part('roles', () => ({ reason: 'the roles have not started yet', hint: ROLES }));
  return readiness;
}

export function busReady(readiness: Readiness, transport: Transport): void {
  readiness.part('bus', () => trouble(transport.trouble(), BUS));
}

export function recordReady(readiness: Readiness, { queries }: Database): void {
  readiness.part('record', async () => {
    try {
      await sql`select 1`.execute(queries);
      return null;
    } catch (error) {
      return trouble((error as Error).message, RECORD);
    }
  });
}

export function rolesReady(readiness: Readiness): void {
  readiness.part('roles', () => null);
}

function trouble(reason: string | null, hint: string): Trouble | null {
  return reason === null ? null : { reason, hint };
}
