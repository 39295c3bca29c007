/** Whom this process believes when it calls an HTTPS address. */
import { readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

/**
 * Believes the authority of a PEM file too, beside those it believes already; for the whole process, since `fetch` has no
 * other place for it. Again: nothing more. Throws the system's error for a file that cannot be read, OpenSSL's for one that is none.
 */
export function trustAuthority(path: string): void {
  setDefaultCACertificates([...new Set([...getCACertificates('default'), readFileSync(path, 'utf8')])]);
}
