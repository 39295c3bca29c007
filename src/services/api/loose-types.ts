/** Values that Nova takes in more than one spelling: numbers and booleans as text, from older clients and forms. */
import { Type } from 'typebox';

const TRUE = ['true', 'True', 'TRUE', 't', 'T', '1', 'on', 'On', 'yes', 'Yes', 'y', 'Y'];
const FALSE = ['false', 'False', 'FALSE', 'f', 'F', '0', 'off', 'Off', 'no', 'No', 'n', 'N'];

export const LooseBoolean = Type.Union([Type.Boolean(), Type.Enum([...TRUE, ...FALSE]), Type.Enum([0, 1])]);

export function asBoolean(value: boolean | string | number | undefined): boolean {
  return value === true || value === 1 || TRUE.includes(String(value));
}

/** A whole number of at least `minimum`, or its decimal text. */
export const looseInteger = (minimum: number, maximum = 2_147_483_647) =>
  Type.Union([
    Type.Integer({ minimum, maximum }),
    Type.String({ pattern: minimum > 0 ? '^[1-9][0-9]{0,9}$' : '^[0-9]{1,10}$' }),
  ]);

/** Visible text without leading or trailing blanks. */
export const Name = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\s\\p{C}]([^\\p{C}]*[^\\s\\p{C}])?$' });

export const Metadata = Type.Record(
  Type.String({ pattern: '^[a-zA-Z0-9-_:. ]{1,255}$' }),
  Type.String({ maxLength: 255 }),
  { additionalProperties: false },
);
