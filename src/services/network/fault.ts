/** Errors as Neutron writes them: `{"NeutronError": {"type", "message", "detail"}}`. */
import type { CloudError, ErrorCode } from '#domain/errors.ts';
import { type FaultWriter, identityFault } from '#http/fault.ts';

/** Those that are not the code with a capital letter. */
const TYPES: Partial<Record<ErrorCode, string>> = {
  badRequest: 'HTTPBadRequest',
  malformedBody: 'HTTPBadRequest',
  unsupportedMediaType: 'HTTPBadRequest',
  tooLarge: 'HTTPRequestEntityTooLarge',
  notFound: 'HTTPNotFound',
  routeNotFound: 'HTTPNotFound',
  conflict: 'HTTPConflict',
  policyForbids: 'PolicyNotAuthorized',
  forbidden: 'PolicyNotAuthorized',
  internal: 'HTTPInternalServerError',
  databaseUnavailable: 'ServiceUnavailable',
  floatingIpNotFound: 'FloatingIPNotFound',
  floatingIpPortAlreadyAssociated: 'FloatingIPPortAlreadyAssociated',
  externalGatewayForFloatingIpNotFound: 'ExternalGatewayForFloatingIPNotFound',
  routerInterfaceInUseByFloatingIp: 'RouterInterfaceInUseByFloatingIP',
  gatewayIpInUse: 'GatewayIpInUse',
  addressPairAndPortSecurityRequired: 'AddressPairAndPortSecurityRequired',
};

/** An absent token is worded by keystonemiddleware, as elsewhere. */
export const networkFault: FaultWriter = (error, authUrl) => {
  if (error.status === 401) return identityFault(error, authUrl);
  const fault = { type: typeOf(error), message: messageOf(error), detail: '' };
  return { contentType: 'application/json', body: JSON.stringify({ NeutronError: fault }) };
};

function typeOf({ code }: CloudError): string {
  return TYPES[code] ?? code.charAt(0).toUpperCase() + code.slice(1);
}

function messageOf(error: CloudError): string {
  return error.code === 'policyForbids' ? `rule:${error.params.rule} is disallowed by policy` : error.message;
}
