/** What a process can do for the cloud, and what every role gets from its process. */
import type { Rpc } from '#bus/rpc.ts';
import type { Config } from '#config/config.ts';
import type { Database } from '#db/database.ts';
import type { Logs } from '#observe/log.ts';
import type { Telemetry } from '#observe/telemetry.ts';
import type { Readiness } from '#services/health/readiness.ts';
import type { IdentityDeps } from '#services/identity/identity-deps.ts';

/** `api` is all that answers HTTP, on the process's one port: Keystone, Glance, Neutron, Nova's API, the consoles. */
export const ROLES = ['api', 'conductor', 'scheduler', 'compute'] as const;
export type Role = (typeof ROLES)[number];

/** What is there in every process. */
export interface Base {
  readonly config: Config;
  readonly logs: Logs;
  readonly rpc: Rpc;
  readonly telemetry: Telemetry;
  readonly readiness: Readiness;
}

/** What is there where a role is that has the record: every one but `compute`. */
export interface WithRecord extends Base {
  readonly db: Database;
  readonly identity: IdentityDeps;
}
