/**
 * An image's attributes as clients write them: which exist, what they may hold, which only Glance sets.
 *
 * The same table is the schema of requests, of `/v2/schemas/image`, and the rule of PATCH.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { CONTAINER_FORMATS, DISK_FORMATS, IMAGE_STATUSES, VISIBILITIES } from '#domain/image/image.ts';

const UUID = '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$';
const MAX_INT = 2 ** 31 - 1;

/** What an owner may set. */
export const WRITABLE = {
  name: Type.Unsafe<string | null>({
    type: ['null', 'string'],
    maxLength: 255,
    description: 'Descriptive name for the image',
  }),
  visibility: Type.Unsafe<(typeof VISIBILITIES)[number]>({
    type: 'string',
    enum: VISIBILITIES,
    description: 'Scope of image accessibility',
  }),
  protected: Type.Boolean({ description: 'If true, image will not be deletable.' }),
  os_hidden: Type.Boolean({ description: 'If true, image will not appear in default image list response.' }),
  owner: Type.Unsafe<string | null>({ type: ['null', 'string'], maxLength: 255, description: 'Owner of the image' }),
  container_format: Type.Unsafe<(typeof CONTAINER_FORMATS)[number] | null>({
    type: ['null', 'string'],
    enum: [null, ...CONTAINER_FORMATS],
    description: 'Format of the container',
  }),
  disk_format: Type.Unsafe<(typeof DISK_FORMATS)[number] | null>({
    type: ['null', 'string'],
    enum: [null, ...DISK_FORMATS],
    description: 'Format of the disk',
  }),
  min_ram: Type.Integer({
    minimum: 0,
    maximum: MAX_INT,
    description: 'Amount of ram (in MB) required to boot image.',
  }),
  min_disk: Type.Integer({
    minimum: 0,
    maximum: MAX_INT,
    description: 'Amount of disk space (in GB) required to boot image.',
  }),
  tags: Type.Array(Type.String({ maxLength: 255 }), { description: 'List of strings related to the image' }),
};

/** The owner's properties that Glance's own schema describes. Null stands for absent. */
const WELL_KNOWN = {
  kernel_id: Type.Unsafe<string | null>({
    type: ['null', 'string'],
    pattern: UUID,
    description: 'ID of image stored in Glance that should be used as the kernel when booting an AMI-style image.',
  }),
  ramdisk_id: Type.Unsafe<string | null>({
    type: ['null', 'string'],
    pattern: UUID,
    description: 'ID of image stored in Glance that should be used as the ramdisk when booting an AMI-style image.',
  }),
  instance_uuid: Type.String({
    description: 'Metadata which can be used to record which instance this image is associated with.',
  }),
  architecture: Type.String({ description: 'Operating system architecture' }),
  os_distro: Type.String({ description: 'Common name of operating system distribution' }),
  os_version: Type.String({ description: 'Operating system version as specified by the distributor.' }),
  description: Type.String({ description: 'A human-readable string describing this image.' }),
};

const ID = Type.String({ pattern: UUID, description: 'An identifier for the image' });

/** What only the service sets. */
const READ_ONLY = {
  status: { type: 'string', enum: IMAGE_STATUSES, description: 'Status of the image' },
  checksum: { type: ['null', 'string'], maxLength: 32, description: 'md5 hash of image contents.' },
  os_hash_algo: {
    type: ['null', 'string'],
    maxLength: 64,
    description: 'Algorithm to calculate the os_hash_value',
  },
  os_hash_value: {
    type: ['null', 'string'],
    maxLength: 128,
    description: 'Hexdigest of the image contents using the algorithm specified by the os_hash_algo',
  },
  size: { type: ['null', 'integer'], description: 'Size of image file in bytes' },
  virtual_size: { type: ['null', 'integer'], description: 'Virtual size of image in bytes' },
  created_at: { type: 'string', description: 'Date and time of image registration' },
  updated_at: { type: 'string', description: 'Date and time of the last image modification' },
  self: { type: 'string', description: 'An image self url' },
  file: { type: 'string', description: 'An image file url' },
  schema: { type: 'string', description: 'An image schema url' },
};

const RESERVED = ['location', 'locations', 'deleted', 'deleted_at', 'direct_url', 'stores'];

/** Values of the owner's own properties. */
const PROPERTY = Type.String({ maxLength: 65_535 });

/** What a create request holds once it has passed the schema; the index holds the owner's properties. */
export interface CreateBody extends Partial<Attributes> {
  readonly id?: string;
  readonly [property: string]: unknown;
}

/** The attributes that an owner may set. */
export type Attributes = { -readonly [Name in keyof typeof WRITABLE]: Static<(typeof WRITABLE)[Name]> };

/** The body of a create request. Read-only attributes pass, so that they can be refused with the right status. */
export const CREATE_BODY = Type.Unsafe<CreateBody>({
  type: 'object',
  properties: {
    id: ID,
    ...WRITABLE,
    ...WELL_KNOWN,
    ...Object.fromEntries([...Object.keys(READ_ONLY), ...RESERVED].map((name) => [name, {}])),
  },
  additionalProperties: PROPERTY,
});

/** What a single attribute may be set to by PATCH. */
export function valueSchema(name: string): TSchema {
  const known: Readonly<Record<string, TSchema>> = { ...WRITABLE, ...WELL_KNOWN };
  return (Object.hasOwn(known, name) && known[name]) || PROPERTY;
}

/** True for what Glance calls a base property: it exists on every image. */
export function isBase(name: string): boolean {
  return name === 'id' || Object.hasOwn(WRITABLE, name) || Object.hasOwn(READ_ONLY, name);
}

/** True for what a client may never set. `id` may be given once, when the image is made. */
export function isReadOnly(name: string): boolean {
  return Object.hasOwn(READ_ONLY, name) || RESERVED.includes(name) || name.startsWith('os_glance');
}

/** The JSON schema that glanceclient downloads before it creates or shows an image. */
export function imageSchema() {
  const readOnly = Object.entries(READ_ONLY).map(([name, schema]) => [name, { ...schema, readOnly: true }]);
  return {
    name: 'image',
    properties: { id: ID, ...WRITABLE, ...WELL_KNOWN, ...Object.fromEntries(readOnly) },
    additionalProperties: { type: 'string' },
    links: [
      { rel: 'self', href: '{self}' },
      { rel: 'enclosure', href: '{file}' },
      { rel: 'describedby', href: '{schema}' },
    ],
  };
}
