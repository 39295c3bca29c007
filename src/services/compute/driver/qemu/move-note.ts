/**
 * The note that a guest is on its way between two hosts (`own/move.json`), for whoever comes after a killed predecessor.
 *
 * `here`: it comes, and what is in the folder is no guest yet; the note goes before its processors may run. `elsewhere`: it goes;
 * `ran` says what it does if it does not get there, `whole` that everything of it is on the other side.
 */

import { readOwn, removeOwn, writeOwn } from './own-folder.ts';

const FILE = 'move.json';

/** What the note says. */
export type Move =
  | { readonly to: 'here' }
  | { readonly to: 'elsewhere'; readonly ran: boolean; readonly whole: boolean };

/** The note; null for a guest that goes nowhere. */
export async function readMove(dir: string): Promise<Move | null> {
  const text = await readOwn(dir, FILE);
  return text === null ? null : (JSON.parse(text) as Move); // written below
}

/** Notes that it moves. The folder must be there. */
export async function writeMove(dir: string, move: Move): Promise<void> {
  await writeOwn(dir, FILE, JSON.stringify(move));
}

/** It stays where it is. No note: nothing. */
export async function dropMove(dir: string): Promise<void> {
  await removeOwn(dir, FILE);
}
