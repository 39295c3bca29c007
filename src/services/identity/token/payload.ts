/**
 * What a token says, in as few bytes as possible: who, where, how it was obtained, from when until when.
 *
 * Roles are not in it: they are looked up when the token is used, so that a role taken away is gone at once.
 */

/** How a token was obtained. `internal` is a token that this process made for itself. The order is the wire format. */
const METHODS = ['password', 'token', 'internal'] as const;
export type AuthMethod = (typeof METHODS)[number];

/** The only domain is `default`, so a domain scope needs no id. */
export type TokenScope =
  | { readonly kind: 'unscoped' }
  | { readonly kind: 'project'; readonly projectId: string }
  | { readonly kind: 'domain' };

export interface TokenPayload {
  /** 16 random bytes in base64url: names the token in logs and revocations without being able to stand for it. */
  readonly auditId: string;
  /** The audit id of the token that began the chain, where this one was had for another. */
  readonly chainAuditId: string | null;
  readonly userId: string;
  readonly scope: TokenScope;
  readonly methods: readonly AuthMethod[];
  /** Epoch ms. */
  readonly issuedAt: number;
  /** Epoch ms. */
  readonly expiresAt: number;
}

const FORMAT = 1;
const KINDS = ['unscoped', 'project', 'domain'] as const;
const CHAINED = 0x80;
const ID_BYTES = 16;
const FIXED_BYTES = 15 + 2 * ID_BYTES;

/** Ids must be 32 hex digits, audit ids 16 bytes in base64url. */
export function pack(payload: TokenPayload): Buffer {
  const fixed = Buffer.alloc(15);
  fixed[0] = FORMAT;
  fixed[1] = METHODS.reduce((bits, method, at) => bits | (payload.methods.includes(method) ? 1 << at : 0), 0);
  fixed[2] = KINDS.indexOf(payload.scope.kind) | (payload.chainAuditId === null ? 0 : CHAINED);
  fixed.writeUIntBE(payload.issuedAt, 3, 6);
  fixed.writeUIntBE(payload.expiresAt, 9, 6);
  return Buffer.concat([
    fixed,
    Buffer.from(payload.auditId, 'base64url'),
    Buffer.from(payload.userId, 'hex'),
    payload.scope.kind === 'project' ? Buffer.from(payload.scope.projectId, 'hex') : Buffer.alloc(0),
    payload.chainAuditId === null ? Buffer.alloc(0) : Buffer.from(payload.chainAuditId, 'base64url'),
  ]);
}

/** Null for bytes of another format. They were signed by us, so only another release can have made them. */
export function unpack(bytes: Buffer): TokenPayload | null {
  const kind = KINDS[(bytes[2] ?? 0) & ~CHAINED];
  if (bytes[0] !== FORMAT || kind === undefined) return null;
  const chained = ((bytes[2] ?? 0) & CHAINED) !== 0;
  const wanted = FIXED_BYTES + (kind === 'project' ? ID_BYTES : 0) + (chained ? ID_BYTES : 0);
  if (bytes.length !== wanted) return null;
  const id = (at: number) => bytes.subarray(at, at + ID_BYTES);
  const bits = bytes[1] ?? 0;
  return {
    auditId: id(15).toString('base64url'),
    chainAuditId: chained ? id(wanted - ID_BYTES).toString('base64url') : null,
    userId: id(31).toString('hex'),
    scope: kind === 'project' ? { kind, projectId: id(FIXED_BYTES).toString('hex') } : { kind },
    methods: METHODS.filter((_, at) => (bits & (1 << at)) !== 0),
    issuedAt: bytes.readUIntBE(3, 6),
    expiresAt: bytes.readUIntBE(9, 6),
  };
}
