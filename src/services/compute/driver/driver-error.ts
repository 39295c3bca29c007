/**
 * What every driver throws. Callers branch on `code`; the message says what was attempted, on what, and what to do.
 * The agent turns these into the product's error catalogue; a driver itself knows nothing of OpenStack.
 */

/** Why a driver call failed. */
export type DriverErrorCode =
  /** The call needs a guest that `create` never made (or `destroy` removed). */
  | 'guest_not_found'
  /** The specification or id cannot be accepted; repeating will not help. */
  | 'bad_spec'
  /** The base image is missing, is not what it claims to be, or refers to other files (CVE-2024-32498). */
  | 'bad_base_image'
  /** The guest has lost files without which it cannot run. */
  | 'guest_damaged'
  /** The hypervisor did not come up. */
  | 'start_failed'
  /** The hypervisor refused or failed a command, or the guest's state does not allow the call. */
  | 'command_failed'
  /** The call needs a guest that has a process, or one that executes. */
  | 'not_running'
  /** The guest has no agent, its agent does not answer, or refuses. */
  | 'guest_agent'
  /** The hypervisor's process went away, or stopped answering, during the call. */
  | 'hypervisor_gone'
  /** A helper program (`qemu-img`) failed. */
  | 'tool_failed'
  /** The caller's signal ended the call. */
  | 'aborted';

/** Codes after which the same call may succeed if it is simply repeated. */
const RETRYABLE: ReadonlySet<DriverErrorCode> = new Set(['start_failed', 'hypervisor_gone', 'tool_failed']);

/** The error of every driver method. `retryable` is a hint: the cause may have been passing. */
export class DriverError extends Error {
  override readonly name = 'DriverError';
  readonly code: DriverErrorCode;
  readonly retryable: boolean;

  constructor(code: DriverErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.retryable = RETRYABLE.has(code);
  }
}
