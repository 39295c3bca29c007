/** Times in queries: `changes-since`, `changes-before`. */
import { CloudError } from '#domain/errors.ts';

/** Epoch ms; UTC where no zone is given. Throws 400 for what is not ISO 8601. */
export function askedTime(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  // The engine would take more.
  const isIso = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text);
  const time = isIso ? Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(text.slice(10)) ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(time)) throw new CloudError('badRequest', { reason: `Invalid filter field: ${name}.` });
  return time;
}
