/** What the network role works with. */
import type { Database } from '#db/database.ts';
import type { Log } from '#observe/log.ts';

export interface NetworkDeps {
  readonly db: Database;
  /** Told after the commit of a change that matters to the hosts that have these networks. Must not throw. */
  readonly changed: (networkIds: readonly string[]) => void;
  readonly now: () => number;
  readonly log: Log;
}
