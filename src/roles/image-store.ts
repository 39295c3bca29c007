/** Where the images are, as the settings say: a folder, or an S3-compatible store. */
import { join } from 'node:path';
import { type Config, ConfigError } from '#config/config.ts';
import { directoryStore } from '#services/image/store/directory-store.ts';
import type { ImageStore } from '#services/image/store/image-store.ts';
import { s3Store } from '#services/image/store/s3-store.ts';

/** What an agent of the same machine sees of the store. */
export interface LocalImages {
  /** Whose files it may link; null: images come over HTTP. */
  readonly folder: string | null;
  /** Where a file can be handed over by its name; null: it is uploaded. */
  readonly staging: string | null;
}

const S3 = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*?))?\/*$/;
const IS_S3 = /^s3:/i;

/** The store of this process. Touches nothing. Throws `ConfigError`. */
export function openImageStore(config: Config): ImageStore {
  if (!IS_S3.test(config.image_store)) return directoryStore(folderOf(config));
  const [, bucket, path = ''] = S3.exec(config.image_store) ?? [];
  if (bucket === undefined) throw new ConfigError(`image_store: '${config.image_store}' is not s3://bucket/prefix`);
  const { s3_endpoint, s3_region, s3_access_key, s3_secret_key, s3_session_token } = config;
  if (s3_access_key === '' || s3_secret_key === '')
    throw new ConfigError('s3_access_key, s3_secret_key: the store of the images needs both');
  if (s3_endpoint !== '' && !/^https?:$/.test(URL.parse(s3_endpoint)?.protocol ?? ''))
    throw new ConfigError(`s3_endpoint: '${s3_endpoint}' is not http://… or https://…`);
  return s3Store({
    bucket,
    prefix: path === '' ? '' : `${path}/`,
    endpoint: s3_endpoint || null,
    region: s3_region,
    accessKey: s3_access_key,
    secretKey: s3_secret_key,
    ...(s3_session_token !== '' && { sessionToken: s3_session_token }),
    spoolDir: spoolOf(config),
  });
}

/** `withApi`: the process has the image service, too. */
export function localImages(config: Config, withApi: boolean): LocalImages {
  const isS3 = IS_S3.test(config.image_store);
  if (isS3) return { folder: null, staging: withApi ? join(spoolOf(config), 'staging') : null };
  if (!withApi && config.image_store === '') return { folder: null, staging: null };
  const folder = folderOf(config);
  return { folder, staging: join(folder, 'staging') };
}

/** Where the image service keeps its data; several processes of the role share it. */
function folderOf(config: Config): string {
  return config.image_store || join(config.data, 'images');
}

function spoolOf(config: Config): string {
  return join(config.data, 'image-spool');
}
