/**
 * The error catalogue: every failure that a user, an operator or another service can see, in one table.
 *
 * An entry says which HTTP status it has, whether trying again may help, and the text, whose `{placeholders}` are the
 * parameters that the thrower must give. Texts of the compute service are Nova's own, since clients parse them.
 */

interface ErrorEntry {
  readonly status: number;
  /** True when the same request may succeed later without the caller changing anything. */
  readonly retryable?: true;
  readonly text: string;
}

export const ERRORS = {
  // any service
  badRequest: { status: 400, text: '{reason}' },
  malformedBody: { status: 400, text: 'Malformed request body' },
  unauthorized: { status: 401, text: 'The request you have made requires authentication.' },
  policyForbids: { status: 403, text: "Policy doesn't allow {rule} to be performed." },
  forbidden: { status: 403, text: '{reason}' },
  notFound: { status: 404, text: '{what} {id} could not be found.' },
  routeNotFound: { status: 404, text: 'The resource could not be found.' },
  methodNotAllowed: { status: 405, text: 'The method specified is not allowed for this resource.' },
  conflict: { status: 409, text: '{reason}' },
  tooLarge: { status: 413, text: 'Request is too large: {reason}' },
  unsupportedMediaType: { status: 415, text: 'Unsupported Content-Type {type}; send {wanted}.' },
  notImplemented: { status: 501, text: '{reason}' },
  serviceUnavailable: { status: 503, retryable: true, text: '{reason}' },
  internal: { status: 500, text: 'Unexpected error. Report it with the request id {requestId}.' },

  // microversions
  versionNotSupported: {
    status: 406,
    text: 'Version {asked} is not supported by the API. Minimum is {min} and maximum is {max}.',
  },
  versionMalformed: {
    status: 400,
    text: 'API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.',
  },

  // compute
  instanceNotFound: { status: 404, text: 'Instance {id} could not be found.' },
  instanceLocked: { status: 409, text: 'Instance {id} is locked' },
  instanceInState: {
    status: 409,
    text: "Cannot '{action}' instance {id} while it is in {attribute} {state}",
  },
  instanceNotReady: { status: 409, text: 'Instance {id} is not ready' },
  flavorNotFound: { status: 404, text: 'Flavor {id} could not be found.' },
  imageUnusable: { status: 400, text: 'Image {id} is unacceptable: {reason}' },
  noValidHost: { status: 500, text: 'No valid host was found. {reason}' },
  hostDown: { status: 503, retryable: true, text: 'Host {host} does not answer: {reason}' },
  quotaExceeded: {
    status: 403,
    text: 'Quota exceeded for {resource}: Requested {asked}, but already used {used} of {limit} {resource}',
  },
  keypairQuotaExceeded: { status: 403, text: 'Quota exceeded, too many key pairs.' },

  // operations
  cancelled: { status: 409, text: 'Cancelled: {reason}' },
  deadlineExceeded: { status: 504, retryable: true, text: '{what} did not finish within {seconds} s' },
  hypervisorFailed: { status: 500, text: '{what}: {reason}' },
  hypervisorStumbled: { status: 500, retryable: true, text: '{what}: {reason}' },
  contractMismatch: {
    status: 500,
    text: '{what} speaks contract version {theirs}, this is {ours}; upgrade the older one.',
  },

  // identity
  identityNotFound: { status: 404, text: 'Could not find {what}: {id}.' },
  identityDuplicate: {
    status: 409,
    text: 'Conflict occurred attempting to store {what} - Duplicate entry found with name {name}{where}.',
  },
  assignmentNotFound: {
    status: 404,
    text: 'Could not find role assignment with role: {role}, user or group: {user}, project, domain, or system: {project}.',
  },
  tokenNotFound: { status: 404, text: 'Failed to validate token' },

  // image
  imageRejected: { status: 400, text: 'Image refused: {reason}' },
  imageNotFound: { status: 404, text: 'No image found with ID {id}' },
  imageReadOnly: { status: 403, text: "Attribute '{attribute}' is read-only." },
  imageTooLarge: { status: 413, text: 'The image has more than the {limit} bytes that one may have.' },
  imageStoreFull: { status: 413, text: 'The image store is full: {reason}' },
  imageRangeOutside: { status: 416, text: 'The image has {size} bytes, and the range {range} is not in it.' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

/** The parameters that the text of `Code` needs. */
export type ErrorParams<Code extends ErrorCode> = Readonly<
  Record<Placeholders<(typeof ERRORS)[Code]['text']>, string | number>
>;

/** What crosses a process boundary instead of an exception, and what a journal keeps of a failure. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly params: Readonly<Record<string, string | number>>;
  readonly message: string;
  readonly retryable: boolean;
}

/** The one error type that may leave a module. Everything else that is thrown is a defect and becomes `internal`. */
export class CloudError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'CloudError';
  readonly code: Code;
  readonly params: Readonly<Record<string, string | number>>;

  constructor(code: Code, params: ErrorParams<Code>, options?: { cause?: unknown }) {
    super(fill(ERRORS[code].text, params), options);
    this.code = code;
    this.params = params;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retryable(): boolean {
    const entry: ErrorEntry = ERRORS[this.code];
    return entry.retryable === true;
  }

  toData(): ErrorData {
    return { code: this.code, params: this.params, message: this.message, retryable: this.retryable };
  }

  /** Rebuilds an error that came over the bus or out of the journal. An unknown code becomes `internal`. */
  static fromData(data: ErrorData): CloudError {
    const code = Object.hasOwn(ERRORS, data.code) ? data.code : 'internal';
    // The parameters were checked by the constructor on the other side.
    const error = new CloudError(code, data.params as never);
    error.message = data.message;
    return error;
  }

  /** Any thrown thing as a CloudError; a stranger becomes `internal` with itself as the cause. */
  static from(thrown: unknown, requestId = 'unknown'): CloudError {
    if (thrown instanceof CloudError) return thrown;
    return new CloudError('internal', { requestId }, { cause: thrown });
  }
}

function fill(text: string, params: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(params[name] ?? `{${name}}`));
}
