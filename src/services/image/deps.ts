/** What the image role is given, and the limits it keeps. */
import { randomUUID } from 'node:crypto';
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
  readonly clock?: () => number;
  readonly newId?: () => string;
  /** Largest image in bytes. */
  readonly maxImageBytes?: number;
  readonly limits?: Partial<Omit<ImageLimits, 'maxImageBytes'>>;
}

/** The same with everything filled in; what routes see. */
export interface ImageContext {
  readonly database: Database;
  readonly store: ImageStore;
  readonly log: Log;
  readonly now: () => number;
  readonly newId: () => string;
  readonly limits: ImageLimits;
}

/** Opens nothing. */
export function imageContext(deps: ImageDeps): ImageContext {
  return {
    database: deps.database,
    store: deps.store,
    log: deps.log,
    now: deps.clock ?? Date.now,
    newId: deps.newId ?? randomUUID,
    limits: {
      ...DEFAULT_IMAGE_LIMITS,
      ...deps.limits,
      ...(deps.maxImageBytes !== undefined && { maxImageBytes: deps.maxImageBytes }),
    },
  };
}
