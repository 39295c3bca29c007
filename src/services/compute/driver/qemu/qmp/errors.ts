/** The three ways a QMP command does not succeed. They must stay apart: only the first one is an answer. */

import type { QmpCommand } from './commands.ts';

/** QEMU refused or failed the command and lives on. `errorClass` is QMP's (`GenericError`, `DeviceNotFound`, …). */
export class QmpCommandError extends Error {
  override readonly name = 'QmpCommandError';
  readonly command: QmpCommand;
  readonly errorClass: string;

  constructor(command: QmpCommand, errorClass: string, description: string) {
    super(`QMP ${command}: ${description}`);
    this.command = command;
    this.errorClass = errorClass;
  }
}

/** The connection ended before the answer: QEMU has quit, was killed, or hung up. Whether it acted is unknown. */
export class QmpGoneError extends Error {
  override readonly name = 'QmpGoneError';
}

/** No answer in time. The connection stays usable; whether QEMU acted, or still will, is unknown. */
export class QmpTimeoutError extends Error {
  override readonly name = 'QmpTimeoutError';
}

/** True for the three above. */
export function isQmpError(error: unknown): boolean {
  return [QmpGoneError, QmpCommandError, QmpTimeoutError].some((kind) => error instanceof kind);
}
