/** One way in which an operation is tried. */
import type { TestCloud } from '../cloud.ts';
import type { TestServer } from '../server.ts';
import type { Photo } from './photo.ts';

export interface Fixture {
  /** Settings of the cloud. */
  readonly config?: Readonly<Record<string, string | number>>;
  readonly prepare: (cloud: TestCloud) => Promise<Prepared>;
  /** The hosts see the same disks. */
  readonly sharedDisks?: true;
  /** The guest of a server in ERROR may do anything; taken back it need not do the same again. */
  readonly guestIsLoose?: true;
}

export interface Prepared {
  /** The server as it is before; null when the operation makes it. */
  readonly server: TestServer | null;
  /** Sends the request; the answer to it may never come. */
  readonly begin: () => Promise<TestServer>;
  /** The server as it must be after it, from what it was; may take over from `after` what nobody can foretell. */
  readonly done: (before: Photo, after: Photo) => Photo;
}
