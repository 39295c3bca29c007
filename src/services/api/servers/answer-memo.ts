/**
 * Answers to reads, kept as bytes until anything in the record changes: clients poll lists far more often than lists
 * change. Only where the record can say so (`Database.revision`); elsewhere every answer is made anew.
 */
import type { Database } from '#db/database.ts';

const MAX_ENTRIES = 100;
const MAX_BYTES = 2 ** 20;

interface Entry {
  /** The record's before the answer was read, so a change during the reading makes it old. */
  readonly revision: string;
  readonly body: Buffer;
}

export class AnswerMemo {
  readonly #db: Database;
  readonly #entries = new Map<string, Entry>();

  constructor(db: Database) {
    this.#db = db;
  }

  /** `key` names everything besides the record that the answer depends on. */
  async answer(key: string, make: () => Promise<string>): Promise<Buffer> {
    const revision = this.#db.revision();
    const known = this.#entries.get(key);
    if (known && known.revision === revision) return known.body;
    const body = Buffer.from(await make());
    if (revision !== null && body.length <= MAX_BYTES) {
      this.#entries.delete(key);
      this.#entries.set(key, { revision, body });
      const [oldest] = this.#entries.keys();
      if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
    }
    return body;
  }
}
