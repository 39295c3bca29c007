/** The record, for commands that look at it without asking the cloud. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '#config/config.ts';
import type { Database } from '#db/database.ts';
import { openDatabase } from '#db/open.ts';
import { CommandError } from './command-error.ts';

export interface RecordOptions {
  readonly data: string;
  /** TOML file with settings, which may say where the record is. */
  readonly config?: string;
}

/** Opens it for `work`; throws `CommandError` where there is no cloud. */
export async function withRecord<Result>(
  options: RecordOptions,
  work: (db: Database) => Promise<Result>,
): Promise<Result> {
  const { database: url } = loadConfig({
    env: process.env,
    ...(options.config !== undefined && { file: options.config }),
  });
  const file = join(options.data, 'micronova.sqlite');
  if (url === '' && !existsSync(file))
    throw new CommandError(`no cloud in ${options.data}: start one with 'micronova up --data ${options.data}'`);
  const db = await openDatabase({ url, file }, { waitMs: 0 });
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}
