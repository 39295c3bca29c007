/**
 * Where the bytes of images are: the port. Implementations: a directory (`directory-store.ts`) and an S3-compatible store
 * (`s3-store.ts`); both pass `conformance.ts`.
 *
 * What must hold of any store: an image's bytes appear all at once or not at all, also when the process is killed; a
 * reader that has begun reads these bytes and no others, whatever is deleted meanwhile.
 */
import type { Writable } from 'node:stream';
import type { ByteSource } from '#domain/image/byte-source.ts';
import type { Digests } from '../hash/file-hasher.ts';

export type { Digests };

/** Bytes on their way into the store; nobody else can see them until `publish`. */
export interface IncomingImage {
  /** How many bytes there are so far. */
  readonly sizeBytes: number;
  /** Resolves when the store has taken the chunks; they may be freed then. One call at a time. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** What is there so far, for inspection. */
  source(complete: boolean): ByteSource;
  /** Nothing will be appended any more: makes the bytes durable and hashes them. */
  seal(): Promise<Digests>;
  /** Makes the sealed bytes the image's. From here on they survive a crash, if the record says so. */
  publish(): Promise<void>;
  /** The record says so: lets go of what was kept for the case that it would not. */
  settle(): Promise<void>;
  /** Removes every trace, published or not, but gives a taken-over file back. Safe to call at any time, also twice. */
  discard(): Promise<void>;
}

/** A file that was on this machine already. */
export interface StagedImage extends IncomingImage {
  /** It is this image's stored file: everything but `settle` was done before. */
  readonly isStored: boolean;
}

/** An image that is being read. */
export interface OpenImage {
  readonly sizeBytes: number;
  /** Sends the bytes from `start` up to but not including `end`, at the reader's pace. */
  copyTo(target: Writable, start: number, end: number): Promise<void>;
  close(): Promise<void>;
}

export interface ImageStore {
  /** An empty incoming image; what an earlier attempt left is gone. */
  openWrite(id: string): Promise<IncomingImage>;
  /**
   * A file on this machine as an incoming image, without copying it; `settle` removes it from where it was. Throws
   * `badRequest` for a URL that is not a file of the staging folder. Null when the file is not there (any more).
   */
  takeOver(id: string, url: string): Promise<StagedImage | null>;
  /** Null when the store has no such image. */
  openRead(id: string): Promise<OpenImage | null>;
  /** Absent: nothing. */
  delete(id: string): Promise<void>;
  /**
   * Makes the store ready, and removes what crashes left behind: all bytes except those of these images. Null: removes
   * only what was never published.
   */
  keepOnly(ids: ReadonlySet<string> | null): Promise<{
    readonly removed: readonly string[];
    /** Images of `ids` that have no bytes. */
    readonly missing: readonly string[];
  }>;
  /** Ends what the store runs. */
  close(): Promise<void>;
}
