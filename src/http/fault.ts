/**
 * Errors as the four dialects of OpenStack services write them. A fault never holds more than the catalogue's text:
 * no stack, no cause.
 */
import type { CloudError } from '#domain/errors.ts';

/** How one service words an error. */
export type FaultWriter = (
  error: CloudError,
  authUrl: string,
) => { readonly contentType: string; readonly body: string };

const JSON_TYPE = 'application/json';

const COMPUTE_NAMES: Readonly<Record<number, string>> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  409: 'conflictingRequest',
  413: 'overLimit',
  415: 'badMediaType',
  429: 'overLimit',
  501: 'notImplemented',
  503: 'serviceUnavailable',
};

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  413: 'Request Entity Too Large',
  415: 'Unsupported Media Type',
  416: 'Requested Range Not Satisfiable',
  501: 'Not Implemented',
  503: 'Service Unavailable',
};

const titleOf = (status: number) => TITLES[status] ?? 'Internal Server Error';

/** Nova: `{"itemNotFound": {"code": 404, "message": "…"}}`; an absent token is worded by keystonemiddleware. */
export const computeFault: FaultWriter = (error, authUrl) => {
  if (error.status === 401) return identityFault(error, authUrl);
  const name = COMPUTE_NAMES[error.status] ?? 'computeFault';
  return { contentType: JSON_TYPE, body: JSON.stringify({ [name]: { code: error.status, message: error.message } }) };
};

/** Keystone: `{"error": {"code": 401, "message": "…", "title": "Unauthorized"}}`, with its own words for a 403. */
export const identityFault: FaultWriter = (error) => {
  const message =
    error.code === 'policyForbids'
      ? `You are not authorized to perform the requested action: ${error.params.rule}.`
      : error.message;
  return {
    contentType: JSON_TYPE,
    body: JSON.stringify({ error: { code: error.status, message, title: titleOf(error.status) } }),
  };
};

/** Glance: webob's HTML page; clients take the text between the tags. */
export const imageFault: FaultWriter = (error, authUrl) => {
  if (error.status === 401) return identityFault(error, authUrl);
  const title = titleOf(error.status);
  const text = escapeHtml(error.message);
  return {
    contentType: 'text/html; charset=UTF-8',
    body: `<html>\n <head>\n  <title>${error.status} ${title}</title>\n </head>\n <body>\n  <h1>${error.status} ${title}</h1>\n  ${text}<br /><br />\n </body>\n</html>`,
  };
};

/** Quotes stay as they are: clients print the text between tags without decoding it. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}
