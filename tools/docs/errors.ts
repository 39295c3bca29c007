/** The error catalogue as a page. */
import { ERRORS } from '#domain/errors.ts';
import { page, table } from './markdown.ts';

export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(([code, entry]) => [
    `\`${code}\``,
    String(entry.status),
    'retryable' in entry ? 'yes' : 'no',
    entry.text,
  ]);
  return page('Errors', 'src/domain/errors.ts', table(['code', 'HTTP status', 'may succeed later', 'text'], rows));
}
