/** Values in bodies. Clients also send numbers and booleans as text. */
import { type TSchema, Type } from 'typebox';

export const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$' });
export const Text = Type.String({ maxLength: 255, pattern: '^[^\\u0000]*$' });
/** Checked where it is read: the text says more of an address than a pattern does. */
export const AddressText = Type.String({ maxLength: 64 });

export const Standard = { name: Type.Optional(Text), description: Type.Optional(Text) };
export const Owner = { project_id: Type.Optional(Text), tenant_id: Type.Optional(Text) };

const TRUE = ['true', 'True', 'TRUE', 't', 'T', '1', 'on', 'yes'];
const FALSE = ['false', 'False', 'FALSE', 'f', 'F', '0', 'off', 'no'];

export const Flag = Type.Union([Type.Boolean(), Type.Enum([...TRUE, ...FALSE]), Type.Enum([0, 1])]);

/** Of what fits `Flag`. */
export function isTrue(value: boolean | string | number): boolean {
  return value === true || value === 1 || TRUE.includes(String(value));
}

/** Of what fits `Flag`, or nothing. */
export function flag(value: boolean | string | number | undefined): boolean | undefined {
  return value === undefined ? undefined : isTrue(value);
}

/** As a filter has it; null for what is none. */
export function flagText(text: string): 0 | 1 | null {
  if (TRUE.includes(text)) return 1;
  return FALSE.includes(text) ? 0 : null;
}

export const Whole = (minimum: number, maximum: number) =>
  Type.Union([Type.Integer({ minimum, maximum }), Type.String({ pattern: '^-?[0-9]{1,9}$' })]);

export const Nullable = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);

export const HostRoutes = Type.Array(
  Type.Object({ destination: AddressText, nexthop: AddressText }, { additionalProperties: false }),
  { maxItems: 100 },
);

export const FixedIps = Type.Array(
  Type.Object(
    { subnet_id: Type.Optional(Uuid), ip_address: Type.Optional(AddressText) },
    { additionalProperties: false },
  ),
  { maxItems: 20 },
);
