/** The asking side of one call or job: sends, repeats what gets no answer, and cancels when nobody waits any more. */
import { CloudError } from '#domain/errors.ts';
import type { Envelope, JobProgress, Outcome, Reply } from './envelope.ts';

const REPEAT_MS = 5_000;

export interface CallOrder {
  /** The message as it is sent now; its deadline may move. */
  readonly envelope: (deadline: number) => Envelope;
  /** In words, for the error of a deadline. */
  readonly what: string;
  /** For jobs: how long without a sign of life. */
  readonly timeoutMs: number;
  readonly isJob: boolean;
  readonly signals: readonly AbortSignal[];
  readonly onProgress: (progress: JobProgress) => void;
  /** `until`: epoch ms after which it may be dropped. May reject; then the message is sent again. */
  readonly publish: (message: string, until: number) => Promise<void>;
  /** Hands over the replies to this message until the returned function is called. */
  readonly listen: (onReply: (reply: Reply) => void) => () => void;
}

/** Resolves with the answer. Rejects with the handler's error, `deadlineExceeded`, or the reason of an aborted signal. */
export function callAndWait(order: CallOrder): Promise<unknown> {
  const { what, timeoutMs, isJob, signals } = order;
  // A repeat does not outlive its caller: work that begins after the caller gave up would be nobody's.
  let deadline = Date.now() + timeoutMs;
  return new Promise((resolve, reject) => {
    const publish = (type: Envelope['type']) => {
      // A cancel is sent when nobody waits any more, and is to arrive all the same.
      const until = type === 'cancel' ? Date.now() + timeoutMs : deadline;
      order.publish(JSON.stringify({ ...order.envelope(deadline), type }), until).catch(() => {
        // Not held by the bus. A request is sent again; work whose cancel is lost ends at its deadline.
      });
    };
    const silence = setTimeout(() => {
      // Calls are left to end: who tries again with the same key joins them. A job may take for ever.
      if (isJob) publish('cancel');
      finish({
        type: 'failed',
        error: new CloudError('deadlineExceeded', { what, seconds: timeoutMs / 1000 }).toData(),
      });
    }, timeoutMs);
    const repeat = setInterval(() => publish('request'), REPEAT_MS);
    const onAbort = () => {
      publish('cancel');
      const reason = signals.find((signal) => signal.aborted)?.reason;
      finish({ type: 'failed', error: CloudError.from(reason).toData() });
    };
    const unlisten = order.listen((reply) => {
      if (reply.type !== 'alive') {
        finish(reply);
        return;
      }
      silence.refresh();
      deadline = Date.now() + timeoutMs;
      if (reply.progress) order.onProgress(reply.progress);
    });
    const finish = (outcome: Outcome) => {
      clearTimeout(silence);
      clearInterval(repeat);
      for (const signal of signals) signal.removeEventListener('abort', onAbort);
      unlisten();
      if (outcome.type === 'done') resolve(outcome.output);
      else reject(CloudError.fromData(outcome.error));
    };
    for (const signal of signals) signal.addEventListener('abort', onAbort);
    if (signals.some((signal) => signal.aborted)) onAbort();
    else publish('request');
  });
}
