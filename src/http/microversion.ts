/**
 * Microversion negotiation: which `2.x` a request is answered with.
 *
 * Asked for by `OpenStack-API-Version: compute 2.53` or the older `X-OpenStack-Nova-API-Version: 2.53`; `latest` means
 * the maximum; without a header it is the minimum.
 * Source: OpenStack API SIG guideline "Microversion Specification".
 */
import type { IncomingHttpHeaders } from 'node:http';
import { CloudError } from '#domain/errors.ts';

export interface MicroversionRange {
  /** The service type in the header: `compute`. */
  readonly type: string;
  readonly legacyHeader: string;
  /** Minors of the major version 2. */
  readonly min: number;
  readonly max: number;
}

/** The minor to answer with. Throws `versionMalformed` (400) or `versionNotSupported` (406). */
export function negotiate(headers: IncomingHttpHeaders, range: MicroversionRange): number {
  const asked = askedVersion(headers, range);
  if (asked === undefined) return range.min;
  if (asked === 'latest') return range.max;
  const parts = /^([1-9]\d{0,3})\.(0|[1-9]\d{0,3})$/.exec(asked);
  if (!parts) throw new CloudError('versionMalformed', { asked });
  const minor = Number(parts[2]);
  if (parts[1] !== '2' || minor < range.min || minor > range.max) {
    throw new CloudError('versionNotSupported', { asked, min: `2.${range.min}`, max: `2.${range.max}` });
  }
  return minor;
}

/** The headers that say which version answered. */
export function versionHeaders(version: number, range: MicroversionRange): Record<string, string> {
  return {
    'openstack-api-version': `${range.type} 2.${version}`,
    [range.legacyHeader]: `2.${version}`,
    vary: `OpenStack-API-Version, ${range.legacyHeader}`,
  };
}

function askedVersion(headers: IncomingHttpHeaders, range: MicroversionRange): string | undefined {
  const combined = headers['openstack-api-version'];
  if (typeof combined === 'string') {
    for (const entry of combined.split(',')) {
      const [type, version] = entry.trim().split(/\s+/);
      if (type?.toLowerCase() === range.type) return version ?? '';
    }
  }
  const legacy = headers[range.legacyHeader.toLowerCase()];
  return typeof legacy === 'string' ? legacy.trim() : undefined;
}
