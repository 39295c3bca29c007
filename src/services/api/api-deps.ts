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

export interface ApiDeps {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly conductor: Client<typeof conductorContract>;
  readonly images: ImageClient;
  readonly quota: Quota;
  /** Called after a commit that wrote these to the outbox. */
  readonly announce: (messages: readonly OutboxMessage[]) => void;
  readonly now: () => number;
  readonly log: Log;
}
