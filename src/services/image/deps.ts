/** What the image role is given, and the limits it keeps. */
import type { Database } from '#db/database.ts';
import { DEFAULT_MAX_VIRTUAL_BYTES } from '#domain/image/inspect.ts';
import type { Log } from '#observe/log.ts';
import type { ImageStore } from './store/image-store.ts';

export interface ImageLimits {
  /** Of one image's data. */
  readonly maxImageBytes: number;
  /** Of the disk that an image describes. */
  readonly maxVirtualBytes: number;
  /** Uploads and downloads each are broken off when nothing moves for so long. */
  readonly idleMs: number;
  /** Uploads at the same time; more are told to come back. */
  readonly maxUploads: number;
  readonly maxTags: number;
  readonly maxProperties: number;
  readonly maxMembers: number;
}

export const DEFAULT_IMAGE_LIMITS: ImageLimits = {
  maxImageBytes: 2 ** 40,
  maxVirtualBytes: DEFAULT_MAX_VIRTUAL_BYTES,
  idleMs: 120_000,
  maxUploads: 64,
  maxTags: 128,
  maxProperties: 128,
  maxMembers: 128,
};

export interface ImageDeps {
  readonly database: Database;
  readonly store: ImageStore;
  readonly log: Log;
  /** Epoch ms. */
  readonly now?: () => number;
  readonly newId?: () => string;
  readonly limits?: Partial<ImageLimits>;
}

/** The same with everything filled in. */
export interface ImageContext {
  readonly database: Database;
  readonly store: ImageStore;
  readonly log: Log;
  readonly now: () => number;
  readonly newId: () => string;
  readonly limits: ImageLimits;
}
