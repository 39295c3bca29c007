/** What names, descriptions and passwords may be when they are set. */
import { Type } from 'typebox';

/** Not blank; without the character that PostgreSQL cannot store. */
const NAME = '^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$';

/** A name of at most `maxLength` characters. */
export function nameSchema(maxLength: number) {
  return Type.String({ minLength: 1, maxLength, pattern: NAME });
}

const MAX_TEXT = 65_535;
export const TextSchema = Type.Union([Type.String({ maxLength: MAX_TEXT, pattern: '^[^\\u0000]*$' }), Type.Null()]);

/** A password to be set; a login may show a longer one, which is nobody's. */
export const PasswordSchema = Type.String({ minLength: 1, maxLength: 255 });

/** `default_project_id` and the like. */
export const IdSchema = Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9_-]*$' });
