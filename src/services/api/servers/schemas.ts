/** What a client may send about servers, per microversion. Source: Nova's API reference, "Create server" and following. */
import { type TProperties, type TSchema, Type } from 'typebox';
import { LooseBoolean, looseInteger, Metadata, Name } from '../loose-types.ts';

const strict = { additionalProperties: false };
const Uuid = Type.String({ format: 'uuid', maxLength: 36 });
const Nullable = (schema: TSchema) => Type.Union([schema, Type.Null()]);
const IpV4 = Type.Union([Type.String({ format: 'ipv4' }), Type.Enum(['']), Type.Null()]);
const IpV6 = Type.Union([Type.String({ format: 'ipv6' }), Type.Enum(['']), Type.Null()]);
const Tag = Type.String({ minLength: 1, maxLength: 60, pattern: '^[^,/]*$' });
const DiskConfig = Type.Enum(['AUTO', 'MANUAL']);
const Description = Type.Union([Type.String({ maxLength: 255 }), Type.Null()]);
const Hostname = Type.String({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$|^[a-zA-Z0-9]$',
});

const NetworkList = Type.Array(
  Type.Object(
    {
      uuid: Type.Optional(Uuid),
      port: Type.Optional(Type.Union([Uuid, Type.Null()])),
      fixed_ip: Type.Optional(Type.String({ maxLength: 64 })),
      tag: Type.Optional(Tag),
    },
    strict,
  ),
  { maxItems: 100 },
);

const BlockDevice = Type.Object(
  {
    uuid: Type.Optional(Type.String({ maxLength: 255 })),
    source_type: Type.Optional(Type.Enum(['volume', 'image', 'snapshot', 'blank'])),
    destination_type: Type.Optional(Type.Enum(['local', 'volume'])),
    boot_index: Type.Optional(Type.Union([Type.Integer(), Type.String({ pattern: '^-?[0-9]{1,9}$' }), Type.Null()])),
    delete_on_termination: Type.Optional(LooseBoolean),
    volume_size: Type.Optional(looseInteger(0)),
    device_name: Type.Optional(Type.String({ maxLength: 255 })),
    guest_format: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
    disk_bus: Type.Optional(Type.String({ maxLength: 255 })),
    device_type: Type.Optional(Type.String({ maxLength: 255 })),
    no_device: Type.Optional(Type.Unknown()),
    tag: Type.Optional(Tag),
    volume_type: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
  },
  strict,
);

const base = {
  name: Name,
  imageRef: Type.Optional(Type.Union([Uuid, Type.Enum([''])])),
  flavorRef: Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Integer({ minimum: 0 })]),
  adminPass: Type.Optional(Type.String({ maxLength: 255 })),
  metadata: Type.Optional(Metadata),
  networks: Type.Optional(NetworkList),
  'OS-DCF:diskConfig': Type.Optional(DiskConfig),
  accessIPv4: Type.Optional(IpV4),
  accessIPv6: Type.Optional(IpV6),
  availability_zone: Type.Optional(Name),
  block_device_mapping: Type.Optional(Type.Array(Type.Object({}), { maxItems: 100 })),
  block_device_mapping_v2: Type.Optional(Type.Array(BlockDevice, { maxItems: 100 })),
  config_drive: Type.Optional(Nullable(LooseBoolean)),
  key_name: Type.Optional(Name),
  min_count: Type.Optional(looseInteger(1)),
  max_count: Type.Optional(looseInteger(1)),
  return_reservation_id: Type.Optional(LooseBoolean),
  security_groups: Type.Optional(Type.Array(Type.Object({ name: Name }, strict), { maxItems: 100 })),
  user_data: Type.Optional(Nullable(Type.String({ maxLength: 65_535 }))),
};

const Personality = Type.Optional(
  Type.Array(Type.Object({ path: Type.String(), contents: Type.String() }), { maxItems: 5 }),
);
const Networks237 = Type.Union([NetworkList, Type.Enum(['none', 'auto'])]);
const Servers = Type.Optional(Type.Union([Uuid, Type.Array(Uuid, { minItems: 1, maxItems: 100, uniqueItems: true })]));
const Hints = Type.Optional(
  Type.Object(
    { group: Type.Optional(Uuid), different_host: Servers, same_host: Servers },
    { additionalProperties: true },
  ),
);

const create = (properties: TProperties): TSchema =>
  Type.Object(
    {
      server: Type.Object(properties, strict),
      'os:scheduler_hints': Hints,
      'OS-SCH-HNT:scheduler_hints': Hints,
    },
    strict,
  );

/** Each entry adds to (or takes from) the one before. */
function createVersions() {
  const v1: TProperties = { ...base, personality: Personality };
  const v19: TProperties = { ...v1, description: Type.Optional(Description) };
  const v37: TProperties = { ...v19, networks: Networks237 };
  const v52: TProperties = { ...v37, tags: Type.Optional(Type.Array(Tag, { maxItems: 50, uniqueItems: true })) };
  const { personality: _, ...v57 } = v52;
  const v63: TProperties = {
    ...v57,
    trusted_image_certificates: Type.Optional(
      Type.Union([
        Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { minItems: 1, maxItems: 50 }),
        Type.Null(),
      ]),
    ),
  };
  const v74: TProperties = { ...v63, host: Type.Optional(Name), hypervisor_hostname: Type.Optional(Name) };
  const v90: TProperties = { ...v74, hostname: Type.Optional(Hostname) };
  return [
    { from: 1, schema: create(v1) },
    { from: 19, schema: create(v19) },
    { from: 37, schema: create(v37) },
    { from: 52, schema: create(v52) },
    { from: 57, schema: create(v57) },
    { from: 63, schema: create(v63) },
    { from: 74, schema: create(v74) },
    { from: 90, schema: create(v90) },
  ];
}

export const CREATE_SERVER = createVersions();

const update = {
  name: Type.Optional(Name),
  'OS-DCF:diskConfig': Type.Optional(DiskConfig),
  accessIPv4: Type.Optional(IpV4),
  accessIPv6: Type.Optional(IpV6),
};
const updateSchema = (properties: TProperties): TSchema =>
  Type.Object({ server: Type.Object(properties, strict) }, strict);

export const UPDATE_SERVER = [
  { from: 1, schema: updateSchema(update) },
  { from: 19, schema: updateSchema({ ...update, description: Type.Optional(Description) }) },
  {
    from: 90,
    schema: updateSchema({ ...update, description: Type.Optional(Description), hostname: Type.Optional(Hostname) }),
  },
];

/** The body of a create request once it has passed the schema of its version; absent keys are those of later versions. */
export interface CreateServer {
  readonly name: string;
  readonly imageRef?: string;
  readonly flavorRef: string | number;
  readonly adminPass?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly networks?:
    | readonly { uuid?: string; port?: string | null; fixed_ip?: string; tag?: string }[]
    | 'none'
    | 'auto';
  readonly 'OS-DCF:diskConfig'?: 'AUTO' | 'MANUAL';
  readonly accessIPv4?: string | null;
  readonly accessIPv6?: string | null;
  readonly availability_zone?: string;
  readonly block_device_mapping?: readonly object[];
  readonly block_device_mapping_v2?: readonly {
    uuid?: string;
    source_type?: string;
    destination_type?: string;
    boot_index?: number | string | null;
    volume_size?: number | string;
  }[];
  readonly config_drive?: boolean | string | number | null;
  readonly key_name?: string;
  readonly min_count?: number | string;
  readonly max_count?: number | string;
  readonly return_reservation_id?: boolean | string | number;
  readonly security_groups?: readonly { name: string }[];
  readonly user_data?: string | null;
  readonly personality?: readonly object[];
  readonly description?: string | null;
  readonly tags?: readonly string[];
  readonly host?: string;
  readonly hypervisor_hostname?: string;
  readonly hostname?: string;
}

/** What of the hints beside `server` means something here. */
export interface SchedulerHints {
  /** The server group to be launched into. */
  readonly group?: string;
  /** One server or several: apart from all of these, together with one of those. */
  readonly different_host?: string | readonly string[];
  readonly same_host?: string | readonly string[];
}

export interface UpdateServer {
  readonly name?: string;
  readonly 'OS-DCF:diskConfig'?: 'AUTO' | 'MANUAL';
  readonly accessIPv4?: string | null;
  readonly accessIPv6?: string | null;
  readonly description?: string | null;
  readonly hostname?: string;
}

const rebuild = (properties: TProperties): TSchema => Type.Object(properties, strict);

/** Each entry adds to (or takes from) the one before. */
function rebuildVersions() {
  const v1: TProperties = {
    imageRef: Uuid,
    name: Type.Optional(Name),
    adminPass: Type.Optional(Type.String({ maxLength: 255 })),
    metadata: Type.Optional(Metadata),
    preserve_ephemeral: Type.Optional(LooseBoolean),
    'OS-DCF:diskConfig': Type.Optional(DiskConfig),
    accessIPv4: Type.Optional(IpV4),
    accessIPv6: Type.Optional(IpV6),
    personality: Personality,
  };
  const v19: TProperties = { ...v1, description: Type.Optional(Description) };
  const v54: TProperties = { ...v19, key_name: Type.Optional(Nullable(Name)) };
  const { personality: _, ...withoutPersonality } = v54;
  const v57: TProperties = {
    ...withoutPersonality,
    user_data: Type.Optional(Nullable(Type.String({ maxLength: 65_535 }))),
  };
  const v63 = { ...v57, trusted_image_certificates: Type.Optional(Type.Null()) };
  const v90 = { ...v63, hostname: Type.Optional(Hostname) };
  return [
    { from: 0, schema: rebuild(v1) },
    { from: 19, schema: rebuild(v19) },
    { from: 54, schema: rebuild(v54) },
    { from: 57, schema: rebuild(v57) },
    { from: 63, schema: rebuild(v63) },
    { from: 90, schema: rebuild(v90) },
  ];
}

export const REBUILD_SERVER = rebuildVersions();

export interface RebuildServer {
  readonly imageRef: string;
  readonly name?: string;
  readonly adminPass?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly 'OS-DCF:diskConfig'?: 'AUTO' | 'MANUAL';
  readonly accessIPv4?: string | null;
  readonly accessIPv6?: string | null;
  readonly description?: string | null;
  readonly key_name?: string | null;
  readonly user_data?: string | null;
  readonly hostname?: string;
}
