/**
 * SSH keys as Nova handles them: checking and fingerprinting a public key, making an RSA pair.
 * Source: RFC 4253 section 6.6; Nova's fingerprint is the MD5 of the key blob with colons.
 */
import { createHash, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { CloudError } from '#domain/errors.ts';

const TYPES =
  /^(ssh-(rsa|ed25519|dss)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)$/;

const makePair = promisify(generateKeyPair);

/** The fingerprint of an OpenSSH public key line. Throws 400 when it is not one. */
export function fingerprintOf(publicKey: string): string {
  const [type, blob] = publicKey.trim().split(/\s+/, 2);
  const bytes = blob && /^[A-Za-z0-9+/]+={0,2}$/.test(blob) ? Buffer.from(blob, 'base64') : null;
  if (!type || !TYPES.test(type) || !bytes || !beginsWith(bytes, type)) {
    throw new CloudError('badRequest', { reason: 'Keypair data is invalid: failed to generate fingerprint' });
  }
  return createHash('md5')
    .update(bytes)
    .digest('hex')
    .replace(/..(?=.)/g, '$&:');
}

/** A new RSA pair: the public line, and the private key in PKCS#1 PEM as Nova gives it. */
export async function generateRsaPair(comment: string): Promise<{ publicKey: string; privateKey: string }> {
  const { publicKey, privateKey } = await makePair('rsa', { modulusLength: 2048 });
  const { e, n } = publicKey.export({ format: 'jwk' });
  const blob = Buffer.concat([text('ssh-rsa'), integer(e), integer(n)]);
  return {
    publicKey: `ssh-rsa ${blob.toString('base64')} ${comment}`,
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  };
}

function beginsWith(blob: Buffer, type: string): boolean {
  return (
    blob.length > 4 + type.length &&
    blob.readUInt32BE(0) === type.length &&
    blob.toString('latin1', 4, 4 + type.length) === type
  );
}

function field(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

const text = (value: string) => field(Buffer.from(value));

/** An mpint: a leading zero keeps a number with its top bit set positive. */
function integer(base64url: string | undefined): Buffer {
  const bytes = Buffer.from(base64url ?? '', 'base64url');
  return field((bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}
