/**
 * The image service as other roles use it: over HTTP, so that it may run anywhere. The request id goes along.
 */
import { Readable } from 'node:stream';
import { CloudError } from '#domain/errors.ts';
import { currentContext } from '#observe/context.ts';
import { inSpan, NO_TRACER, type Tracer } from '#observe/tracer.ts';

/** An image's record: the fields that compute looks at, and its own properties as strings. */
export interface ImageRecord {
  readonly id: string;
  readonly name: string | null;
  readonly status: string;
  readonly size: number | null;
  readonly virtual_size: number | null;
  readonly disk_format: string | null;
  readonly min_disk: number;
  readonly min_ram: number;
  readonly os_hash_value: string | null;
  readonly [property: string]: unknown;
}

export interface ImageClientOptions {
  /** `http://host:port/image`; asked each time, since a listener's port is known only once it listens. */
  readonly url: () => string | Promise<string>;
  /** A token of the service user; the user's own may be given per call instead. */
  readonly token: () => Promise<string>;
  /** Who asks, for the trace: `nova-conductor`. */
  readonly name: string;
  readonly tracer?: Tracer;
}

export interface Download {
  readonly data: Readable;
  readonly sizeBytes: number | null;
}

export class ImageClient {
  readonly #options: ImageClientOptions;

  constructor(options: ImageClientOptions) {
    this.#options = options;
  }

  /** The record, or null when it does not exist or the token's owner may not see it. */
  async find(id: string, userToken?: string): Promise<ImageRecord | null> {
    const response = await this.#send('GET', `/v2/images/${encodeURIComponent(id)}`, {
      ...(userToken && { token: userToken }),
    });
    if (response.status === 404) return null;
    await expectOk(response, `reading image ${id}`);
    return (await response.json()) as ImageRecord;
  }

  /** Makes a record with the given id. It exists already: nothing. */
  async ensure(
    record: Readonly<Record<string, unknown>> & { readonly id: string },
    signal: AbortSignal,
  ): Promise<void> {
    const response = await this.#send('POST', '/v2/images', { json: record, signal });
    if (response.status === 409 && (await this.find(record.id)) !== null) return;
    await expectOk(response, `creating image ${record.id}`);
  }

  /** Removes record and data. Absent: nothing. Throws `forbidden` for one that is protected. */
  async remove(id: string, signal: AbortSignal): Promise<void> {
    const response = await this.#send('DELETE', `/v2/images/${id}`, { signal });
    if (response.status === 403) throw new CloudError('forbidden', { reason: `Image ${id} is protected.` });
    if (response.status !== 404) await expectOk(response, `deleting image ${id}`);
  }

  /**
   * Ids of a server's active backups of one type, newest first; only those that its project owns, since anybody can make an
   * image that says it is a backup of that server.
   */
  async backups(
    { serverId, projectId, backupType }: { serverId: string; projectId: string; backupType: string },
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const of = { instance_uuid: serverId, image_type: 'backup', backup_type: backupType };
    const wanted = { ...of, status: 'active', owner: projectId };
    const query = new URLSearchParams({ ...wanted, sort: 'created_at:desc', limit: '1000' });
    const response = await this.#send('GET', `/v2/images?${query}`, { signal });
    await expectOk(response, `listing the backups of server ${serverId}`);
    const { images } = (await response.json()) as { images: { id: string; owner: string }[] };
    return images.filter(({ owner }) => owner === projectId).map(({ id }) => id);
  }

  async download(id: string, signal: AbortSignal): Promise<Download> {
    const response = await this.#send('GET', `/v2/images/${id}/file`, { signal });
    await expectOk(response, `downloading image ${id}`);
    if (response.status === 204 || !response.body)
      throw new CloudError('imageUnusable', { id, reason: 'it has no data' });
    const length = response.headers.get('content-length');
    // Two names of the same web stream: the one of fetch and the one that Node wraps.
    const data = Readable.fromWeb(response.body as import('node:stream/web').ReadableStream);
    return { data, sizeBytes: length === null ? null : Number(length) };
  }

  /** Streams the data of a queued image; it is active afterwards. */
  async upload(id: string, data: Readable, signal: AbortSignal): Promise<void> {
    const response = await this.#send('PUT', `/v2/images/${id}/file`, { stream: data, signal });
    await expectOk(response, `uploading image ${id}`);
  }

  /** Lets the image service take over a file that both can see; it is active and the file gone afterwards. */
  async addLocation(id: string, url: string, signal: AbortSignal): Promise<void> {
    const response = await this.#send('POST', `/v2/images/${id}/locations`, { json: { url }, signal });
    await expectOk(response, `handing over the data of image ${id}`);
  }

  #send(method: string, path: string, options: Sent): Promise<Response> {
    const { name, tracer = NO_TRACER } = this.#options;
    const attributes = { 'http.request.method': method };
    return inSpan(tracer, `${method} image`, { service: name, kind: 'client', attributes }, () =>
      this.#fetch(method, path, options),
    );
  }

  async #fetch(method: string, path: string, options: Sent): Promise<Response> {
    const headers: Record<string, string> = {
      'user-agent': this.#options.name,
      'x-auth-token': options.token ?? (await this.#options.token()),
    };
    const url = await this.#options.url();
    const { requestId, traceparent } = currentContext() ?? {};
    if (requestId) headers['x-openstack-request-id'] = requestId;
    if (traceparent) headers.traceparent = traceparent;
    if (options.json !== undefined) headers['content-type'] = 'application/json';
    if (options.stream) headers['content-type'] = 'application/octet-stream';
    const body = options.stream
      ? Readable.toWeb(options.stream)
      : options.json === undefined
        ? null
        : JSON.stringify(options.json);
    try {
      return await fetch(url + path, {
        method,
        headers,
        // The types of Node's streams and of fetch name the same class twice.
        body: body as unknown as string | null,
        signal: options.signal ?? null,
        ...(options.stream && { duplex: 'half' as const }),
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw new CloudError(
        'serviceUnavailable',
        { reason: `The image service does not answer: ${cause}` },
        { cause: error },
      );
    }
  }
}

interface Sent {
  readonly json?: unknown;
  readonly stream?: Readable;
  readonly signal?: AbortSignal;
  readonly token?: string;
}

async function expectOk(response: Response, what: string): Promise<void> {
  if (response.ok) return;
  const text = (await response.text())
    .replace(/<title>.*?<\/title>|<h1>.*?<\/h1>|<[^>]*>/gs, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const reason = `${what}: ${text.slice(0, 300) || `status ${response.status}`}`;
  if (response.status >= 500) throw new CloudError('serviceUnavailable', { reason });
  if (response.status === 404) throw new CloudError('notFound', { what: 'Image', id: what });
  throw new CloudError('conflict', { reason });
}
