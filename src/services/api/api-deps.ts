/** What the compute API works with. */
import type { Client, Rpc } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import type { OutboxMessage } from '#db/repo/operations.ts';
import type { ImageClient } from '#http/image-client.ts';
import type { Log } from '#observe/log.ts';

/** Limits per project (key pairs: per user); -1 is none. Nova's defaults. */
export interface Quota {
  readonly instances: number;
  readonly cores: number;
  readonly ramMib: number;
  readonly metadataItems: number;
  readonly keyPairs: number;
  readonly serverGroups: number;
  readonly serverGroupMembers: number;
}

export const DEFAULT_QUOTA: Quota = {
  instances: 10,
  cores: 20,
  ramMib: 51_200,
  metadataItems: 128,
  keyPairs: 100,
  serverGroups: 10,
  serverGroupMembers: 10,
};

/** How servers are treated, from the configuration. */
export interface Lifecycle {
  /** How long a guest that is asked to power off may take. */
  readonly shutdownGraceMs: number;
  /** A shelved server leaves its host in the same operation. */
  readonly offloadsAtOnce: boolean;
  /** A resize may leave a server on its host. */
  readonly resizesOnSameHost: boolean;
  /** A deleted server can be restored for a time. */
  readonly deletesSoftly: boolean;
}

export const DEFAULT_LIFECYCLE: Lifecycle = {
  shutdownGraceMs: 60_000,
  offloadsAtOnce: true,
  resizesOnSameHost: true,
  deletesSoftly: false,
};

export interface ApiDeps {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly conductor: Client<typeof conductorContract>;
  readonly images: ImageClient;
  readonly quota: Quota;
  readonly lifecycle: Lifecycle;
  /** How long a link to a console is good for; ten minutes where not given. */
  readonly consoleTokenMs?: number;
  /** Called after a commit that wrote these to the outbox. */
  readonly announce: (messages: readonly OutboxMessage[]) => void;
  /** Called after a commit that changed something of these networks that hosts have to know. */
  readonly networksChanged: (networkIds: readonly string[]) => void;
  readonly now: () => number;
  readonly log: Log;
}
