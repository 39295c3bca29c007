/**
 * A log file that cannot fill the disk: at `maxBytes` it is renamed to `<name>.1` (replacing the one before) and begun
 * anew, so that a service keeps at most twice that.
 *
 * A service must outlive its log: on a full disk, or where somebody took the file away, lines are lost and the next is
 * tried again.
 */
import { existsSync, renameSync, statSync } from 'node:fs';
import pino from 'pino';

/** Characters that wait for the disk at most; what comes beyond them is lost. */
const MAX_WAITING = 4 * 2 ** 20;

/** A pino destination. `flushSync` writes out what is buffered. */
export function rotatingFile(path: string, maxBytes = 64 * 2 ** 20) {
  const file = pino.destination({
    dest: path,
    sync: false,
    minLength: 0,
    mkdir: true,
    mode: 0o600,
    maxLength: MAX_WAITING,
  });
  let isFailing = false;
  // Without a listener an error of the disk would end the process.
  file.on('error', () => {
    isFailing = true;
  });
  const flushSync = file.flushSync.bind(file);
  // Also called by pino when the process ends. It would try again for ever where the disk is full.
  file.flushSync = () => {
    if (!isFailing) flushSync();
  };
  let written = existsSync(path) ? statSync(path).size : 0;
  file.on('write', (bytes: number) => {
    isFailing = false;
    written += bytes;
    if (written < maxBytes) return;
    written = 0;
    try {
      renameSync(path, `${path}.1`);
    } catch {
      // Taken away by somebody else, or nothing can be renamed here: it is opened anew all the same.
    }
    file.reopen();
  });
  return {
    write: (line: string) => file.write(line),
    flushSync: () => {
      try {
        file.flushSync();
      } catch {
        // The file is not open yet, so there is nothing to write out.
      }
    },
  };
}
