/**
 * A log file that cannot fill the disk: at `maxBytes` it is renamed to `<name>.1` (replacing the one before) and begun
 * anew, so that a service keeps at most twice that.
 */
import { existsSync, renameSync, statSync } from 'node:fs';
import pino from 'pino';

/** A pino destination. `flushSync` writes out what is buffered. */
export function rotatingFile(path: string, maxBytes = 64 * 2 ** 20) {
  const file = pino.destination({ dest: path, sync: false, minLength: 0, mkdir: true, mode: 0o600 });
  let written = existsSync(path) ? statSync(path).size : 0;
  file.on('write', (bytes: number) => {
    written += bytes;
    if (written < maxBytes) return;
    written = 0;
    renameSync(path, `${path}.1`);
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
