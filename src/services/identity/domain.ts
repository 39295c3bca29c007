/** The one domain that there is, and how clients may name it. */
import { CloudError } from '#domain/errors.ts';

export const DEFAULT_DOMAIN = { id: 'default', name: 'Default' } as const;

export interface DomainReference {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
}

/** True for the default domain by id, or by its name in any case, as a Keystone on MySQL compares it. */
export function isDefaultDomain(domain: DomainReference | undefined): boolean {
  if (domain?.id !== undefined) return domain.id === DEFAULT_DOMAIN.id;
  return domain?.name?.toLowerCase() === DEFAULT_DOMAIN.name.toLowerCase();
}

/** Throws 404 for an object that is to be in another domain; none given means the default one. */
export function requireDefaultDomain(domainId: string | null | undefined): void {
  if (domainId !== undefined && domainId !== null && domainId !== DEFAULT_DOMAIN.id)
    throw new CloudError('identityNotFound', { what: 'domain', id: domainId });
}
