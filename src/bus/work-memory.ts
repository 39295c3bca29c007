/**
 * What a server has in hand or has answered, by message and by the name of the work.
 *
 * A message that was seen, or cancelled before it came, never begins anything again. It is bounded: what is forgotten
 * first is what was asked first and has ended.
 */
import { CloudError } from '#domain/errors.ts';
import type { Envelope, JobProgress, Outcome } from './envelope.ts';

export interface Work {
  readonly result: Promise<Outcome>;
  readonly abort: AbortController;
  /** Who waits: reply addresses by message. */
  readonly waiting: Map<string, string>;
  readonly reported: { last: JobProgress | null };
  ended: boolean;
}

const REMEMBERED = 2_000;
/** Answers longer than this are not kept: they are those of questions, which may be asked again. */
const REMEMBERED_CHARS = 4_000;

export class WorkMemory {
  readonly #byKey = new Map<string, Work>();
  readonly #byMessage = new Map<string, Work>();

  /** The work that the message asks for: what it, or another of the same key, began already, or what `begin` begins. */
  join({ messageId, key, replyTo }: Envelope, begin: () => Work): Work {
    const known = this.#byMessage.get(messageId) ?? this.#byKey.get(key);
    if (known) {
      remember(this.#byMessage, messageId, known);
      return known;
    }
    const work = begin();
    remember(this.#byMessage, messageId, work);
    remember(this.#byKey, key, work);
    void work.result.then((outcome) => {
      // A failure is not remembered by its key: asking anew is how one tries again. Nor by its message, where there is
      // nobody to tell: the transport delivers that again.
      if (outcome.type === 'failed' || key === messageId) forget(this.#byKey, key, work);
      const isUntold = outcome.type === 'failed' && replyTo === '';
      const isLong = outcome.type === 'done' && JSON.stringify(outcome.output).length > REMEMBERED_CHARS;
      if (isUntold || isLong) forget(this.#byMessage, messageId, work);
    });
    return work;
  }

  /**
   * Ends the work that a message began or joined, when nobody else waits for it. A cancel that overtook its message is
   * kept, so that the message does not begin anything; whoever asks anew does.
   */
  cancel({ key, messageId }: Envelope): void {
    const reason = new CloudError('cancelled', { reason: 'the caller asked for it' });
    const work = this.#byMessage.get(messageId);
    if (!work) {
      remember(this.#byMessage, messageId, refused(reason));
      return;
    }
    work.waiting.delete(messageId);
    if (work.ended || work.waiting.size > 0) return;
    work.abort.abort(reason);
    forget(this.#byKey, key, work);
  }
}

function remember(works: Map<string, Work>, name: string, work: Work): void {
  works.set(name, work);
  if (works.size <= REMEMBERED) return;
  // Work in hand stays, however old; one that takes for ever must not keep all that came after it.
  const oldest = works.entries().find(([, { ended }]) => ended);
  if (oldest) works.delete(oldest[0]);
}

function forget(works: Map<string, Work>, name: string, work: Work): void {
  if (works.get(name) === work) works.delete(name);
}

/** Work that was cancelled before it came. */
function refused(reason: CloudError): Work {
  const result = Promise.resolve<Outcome>({ type: 'failed', error: reason.toData() });
  return { result, abort: new AbortController(), waiting: new Map(), reported: { last: null }, ended: true };
}
