/**
 * The few things that we ask of an S3-compatible store: objects below one prefix of one bucket. The only importer of the client
 * library, which is loaded with the first request.
 *
 * A failure leaves as `serviceUnavailable`, or `imageStoreFull`; what is not there is null, or nothing. The library repeats what can
 * be repeated.
 */
import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { CloudError } from '#domain/errors.ts';

type Library = typeof import('@aws-sdk/client-s3');

export interface BucketOptions {
  readonly bucket: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  /** Address of the service; null: Amazon's of the region. */
  readonly endpoint: string | null;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken?: string | undefined;
}

/** An object that is there. */
export interface FoundObject {
  readonly sizeBytes: number;
  /** Names these very bytes. */
  readonly tag: string;
  /** Epoch ms, with whole seconds. */
  readonly changedAt: number;
}

/** An upload in parts that nobody has completed. */
export interface OpenUpload {
  readonly name: string;
  readonly uploadId: string;
}

const CONNECT_MS = 10_000;
/** Nothing moves for so long. */
const SILENT_MS = 60_000;
const ATTEMPTS = 4;
const FULL = ['QuotaExceeded', 'InsufficientStorage', 'XMinioStorageFull', 'EntityTooLarge'];
const ABSENT = ['NotFound', 'NoSuchKey', 'NoSuchUpload'];

export class Bucket {
  readonly #options: BucketOptions;
  #open: Promise<{ readonly library: Library; readonly client: S3Client }> | undefined;

  constructor(options: BucketOptions) {
    this.#options = options;
  }

  find(name: string): Promise<FoundObject | null> {
    return this.#ask(async ({ library, client }) => {
      const found = await absentAsNull(client.send(new library.HeadObjectCommand(this.#object(name))));
      if (!found) return null;
      const { ContentLength = 0, ETag = '', LastModified } = found;
      return { sizeBytes: ContentLength, tag: ETag, changedAt: LastModified?.getTime() ?? 0 };
    });
  }

  /** The bytes from `start` up to but not including `end`, of the object with that tag. */
  read(name: string, { tag }: FoundObject, start: number, end: number): Promise<Readable> {
    return this.#ask(async ({ library, client }) => {
      const range = { Range: `bytes=${start}-${end - 1}`, IfMatch: tag };
      const { Body } = await client.send(new library.GetObjectCommand({ ...this.#object(name), ...range }));
      return Body as Readable; // in Node
    });
  }

  async put(name: string, body: Uint8Array): Promise<void> {
    await this.#ask(({ library, client }) =>
      client.send(new library.PutObjectCommand({ ...this.#object(name), Body: body })),
    );
  }

  beginParts(name: string): Promise<string> {
    return this.#ask(async ({ library, client }) => {
      const { UploadId } = await client.send(new library.CreateMultipartUploadCommand(this.#object(name)));
      if (UploadId === undefined) throw new Error('it begins no upload in parts');
      return UploadId;
    });
  }

  /** Numbers begin with 1. Answers what names the part. */
  putPart({ name, uploadId }: OpenUpload, number: number, body: Uint8Array): Promise<string> {
    return this.#ask(async ({ library, client }) => {
      const part = { ...this.#object(name), UploadId: uploadId, PartNumber: number, Body: body };
      const { ETag } = await client.send(new library.UploadPartCommand(part));
      if (ETag === undefined) throw new Error('it names no part');
      return ETag;
    });
  }

  /** All parts become the object, in the order of their tags. Throws when the upload is not there any more. */
  async completeParts({ name, uploadId }: OpenUpload, tags: readonly string[]): Promise<void> {
    const Parts = tags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
    await this.#ask(({ library, client }) => {
      const upload = { ...this.#object(name), UploadId: uploadId, MultipartUpload: { Parts } };
      return client.send(new library.CompleteMultipartUploadCommand(upload));
    });
  }

  /** Its parts go. Not there any more: nothing. */
  async abortParts({ name, uploadId }: OpenUpload): Promise<void> {
    await this.#ask(({ library, client }) =>
      absentAsNull(client.send(new library.AbortMultipartUploadCommand({ ...this.#object(name), UploadId: uploadId }))),
    );
  }

  /** Absent: nothing. */
  async remove(name: string): Promise<void> {
    await this.#ask(({ library, client }) =>
      absentAsNull(client.send(new library.DeleteObjectCommand(this.#object(name)))),
    );
  }

  /** Names of all objects below the prefix. */
  async names(): Promise<string[]> {
    const { bucket: Bucket, prefix: Prefix } = this.#options;
    const names: string[] = [];
    for (let more: string | undefined, isFirst = true; isFirst || more !== undefined; isFirst = false) {
      const page = await this.#ask(({ library, client }) =>
        client.send(new library.ListObjectsV2Command({ Bucket, Prefix, ContinuationToken: more })),
      );
      names.push(...(page.Contents ?? []).map(({ Key = '' }) => Key.slice(Prefix.length)));
      more = page.IsTruncated ? page.NextContinuationToken : undefined;
    }
    return names;
  }

  /** All uploads in parts that are open, of objects whose names begin so. */
  async uploads(begin = ''): Promise<OpenUpload[]> {
    const { bucket: Bucket, prefix } = this.#options;
    const Prefix = prefix + begin;
    const uploads: OpenUpload[] = [];
    type Marker = { readonly KeyMarker?: string | undefined; readonly UploadIdMarker?: string | undefined };
    for (let more: Marker | null = {}; more; ) {
      const marker: Marker = more;
      const page = await this.#ask(({ library, client }) =>
        client.send(new library.ListMultipartUploadsCommand({ Bucket, Prefix, ...marker })),
      );
      for (const { Key = '', UploadId = '' } of page.Uploads ?? [])
        uploads.push({ name: Key.slice(prefix.length), uploadId: UploadId });
      const { IsTruncated = false, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      more = IsTruncated ? { KeyMarker, UploadIdMarker } : null;
    }
    return uploads;
  }

  async close(): Promise<void> {
    (await this.#open)?.client.destroy();
    this.#open = undefined;
  }

  #object(name: string) {
    return { Bucket: this.#options.bucket, Key: this.#options.prefix + name };
  }

  async #ask<T>(work: (open: { readonly library: Library; readonly client: S3Client }) => Promise<T>): Promise<T> {
    try {
      this.#open ??= this.#connect();
      return await work(await this.#open);
    } catch (thrown) {
      throw asCloudError(thrown, this.#options.bucket);
    }
  }

  async #connect() {
    const library = await import('@aws-sdk/client-s3');
    const { endpoint, region, accessKey, secretKey, sessionToken } = this.#options;
    const client = new library.S3Client({
      region,
      // Only Amazon's own has a host name for every bucket.
      ...(endpoint !== null && { endpoint, forcePathStyle: true }),
      credentials: {
        accessKeyId: accessKey,
        secretAccessKey: secretKey,
        ...(sessionToken !== undefined && { sessionToken }),
      },
      maxAttempts: ATTEMPTS,
      requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENT_MS },
      // Not every store knows the newer ones; what is sent is signed with its SHA-256.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
    return { library, client };
  }
}

/** The answer, or null when the store says that there is no such thing. */
async function absentAsNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && ABSENT.includes(error.name)) return null;
    throw error;
  }
}

function asCloudError(thrown: unknown, bucket: string): CloudError {
  if (thrown instanceof CloudError) return thrown;
  const { name, message } = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (FULL.includes(name)) return new CloudError('imageStoreFull', { reason: 'delete images or give it more space' });
  // Without the cause, which knows the request.
  return new CloudError('serviceUnavailable', { reason: `Image store ${bucket}: ${name} ${message}`.trim() });
}
