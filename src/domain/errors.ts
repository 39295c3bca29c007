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
  notThere: { status: 404, text: '{reason}' },
  routeNotFound: { status: 404, text: 'The resource could not be found.' },
  methodNotAllowed: { status: 405, text: 'The method specified is not allowed for this resource.' },
  conflict: { status: 409, text: '{reason}' },
  tooLarge: { status: 413, text: 'Request is too large: {reason}' },
  unsupportedMediaType: { status: 415, text: 'Unsupported Content-Type {type}; send {wanted}.' },
  notImplemented: { status: 501, text: '{reason}' },
  serviceUnavailable: { status: 503, retryable: true, text: '{reason}' },
  databaseUnavailable: {
    status: 503,
    retryable: true,
    text: 'The database does not answer ({reason}). Try again in a moment.',
  },
  databaseRefused: { status: 500, text: "The database does not let us in: {reason}. Look at the setting 'database'." },
  databaseNewer: {
    status: 500,
    text: 'The database was changed by a newer version of micronova ({migrations}). Start that version, or a newer one.',
  },
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
  instanceChanged: { status: 409, text: "Instance {id} changed while '{action}' was asked for; try again." },
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

  // network; the names are Neutron's, with a capital letter
  networkNotFound: { status: 404, text: 'Network {id} could not be found.' },
  portNotFound: { status: 404, text: 'Port {id} could not be found.' },
  securityGroupNotFound: { status: 404, text: 'Security group {id} does not exist' },
  networkInUse: {
    status: 409,
    text: 'Unable to complete operation on network {id}. There are one or more ports still in use on the network.',
  },
  subnetInUse: { status: 409, text: 'Unable to complete operation on subnet {id}: {reason}' },
  externalNetworkForbidden: {
    status: 403,
    text: 'It is not allowed to create an interface on external network {id}',
  },
  portInUse: {
    status: 409,
    text: 'Unable to complete operation on port {id} for network {network}. Port already has an attached device {device}.',
  },
  subnetNotFound: { status: 404, text: 'Subnet {id} could not be found.' },
  routerNotFound: { status: 404, text: 'Router {id} could not be found' },
  floatingIpNotFound: { status: 404, text: 'Floating IP {id} could not be found' },
  securityGroupRuleNotFound: { status: 404, text: 'Security group rule {id} does not exist' },
  servicePortInUse: { status: 409, text: 'Port {id} cannot be deleted directly via the port API: {reason}.' },
  gatewayIpInUse: {
    status: 409,
    text: 'Current gateway ip {address} already in use by port {port}. Unable to update.',
  },
  gatewayConflictWithAllocationPools: {
    status: 409,
    text: 'Gateway ip {address} conflicts with allocation pool {pool}.',
  },
  overlappingAllocationPools: {
    status: 409,
    text: 'Found overlapping allocation pools: {pools} for subnet {cidr}.',
  },
  outOfBoundsAllocationPool: { status: 400, text: 'The allocation pool {pool} spans beyond the subnet cidr {cidr}.' },
  invalidAllocationPool: { status: 400, text: 'The allocation pool {pool} is not valid.' },
  routerInUse: { status: 409, text: 'Router {id} {reason}' },
  routerInterfaceNotFound: { status: 404, text: 'Router {id} does not have an interface with id {port}' },
  routerInterfaceNotFoundForSubnet: { status: 404, text: 'Router {id} has no interface on subnet {subnet}' },
  routerInterfaceInUseByFloatingIp: {
    status: 409,
    text: 'Router interface for subnet {subnet} on router {id} cannot be deleted, as it is required by one or more floating IPs.',
  },
  routerInterfaceInUseByRoute: {
    status: 409,
    text: 'Router interface for subnet {subnet} on router {id} cannot be deleted, as it is required by one or more routes.',
  },
  routerExternalGatewayInUseByFloatingIp: {
    status: 409,
    text: 'Gateway cannot be updated for router {id}, since a gateway to external network {network} is required by one or more floating IPs.',
  },
  invalidRoutes: { status: 400, text: 'Invalid format for routes: {routes}, {reason}' },
  externalIpAddressExhausted: {
    status: 409,
    text: 'Unable to find any IP address on external network {network}.',
  },
  externalGatewayForFloatingIpNotFound: {
    status: 404,
    text: 'External network {network} is not reachable from subnet {subnet}. Therefore, cannot associate Port {port} with a Floating IP.',
  },
  floatingIpPortAlreadyAssociated: {
    status: 409,
    text: 'Cannot associate floating IP {address} ({id}) with port {port} using fixed IP {fixed}, as that fixed IP already has a floating IP on external network {network}.',
  },
  securityGroupInUse: { status: 409, text: 'Security Group {id} {reason}.' },
  securityGroupCannotRemoveDefault: {
    status: 409,
    text: 'Insufficient rights for removing default security group.',
  },
  securityGroupCannotUpdateDefault: {
    status: 409,
    text: 'Updating default security group not allowed.',
  },
  securityGroupDefaultAlreadyExists: { status: 409, text: 'Default security group already exists.' },
  securityGroupRuleExists: { status: 409, text: 'Security group rule already exists. Rule id is {id}.' },
  securityGroupRuleInvalid: { status: 400, text: '{reason}' },
  portSecurityPortHasSecurityGroup: {
    status: 409,
    text: 'Port has security group associated. Cannot disable port security or IP address until security group is removed',
  },
  addressPairAndPortSecurityRequired: {
    status: 409,
    text: 'Port Security must be enabled in order to have allowed address pairs on a port.',
  },
  autoAllocationFailure: { status: 400, text: 'Deployment error: {reason}.' },
  tagNotFound: { status: 404, text: 'Tag {tag} could not be found.' },
  ipAddressGenerationFailure: { status: 409, text: 'No more IP addresses available on network {network}.' },
  ipAddressAlreadyAllocated: { status: 409, text: 'IP address {address} already allocated in subnet {subnet}' },
  invalidIpForNetwork: {
    status: 400,
    text: 'IP address {address} is not a valid IP for any of the subnets on the specified network.',
  },
  invalidIpForSubnet: { status: 400, text: 'IP address {address} is not a valid IP for the specified subnet.' },
  macAddressInUse: {
    status: 409,
    text: 'Unable to complete operation for network {network}. The mac address {mac} is in use.',
  },
  overQuota: { status: 409, text: "Quota exceeded for resources: ['{resource}']." },
  invalidInput: { status: 400, text: 'Invalid input for operation: {reason}.' },
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
