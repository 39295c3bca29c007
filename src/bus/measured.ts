/** Counts what a transport moves, whichever it is. */
import type { Meter } from '#observe/metrics.ts';
import type { Transport } from './transport.ts';

/** The role's name: hosts and inboxes are too many for a label, and end with their processes. */
export function queueLabel(topic: string): string {
  const dot = topic.indexOf('.');
  return dot < 0 ? topic : topic.slice(0, dot);
}

export function measured(transport: Transport, meter: Meter): Transport {
  return {
    async publish(topic, message, options) {
      const queue = queueLabel(topic);
      try {
        await transport.publish(topic, message, options);
        meter.count('micronova_bus_messages_sent_total', { queue, outcome: 'held' });
      } catch (error) {
        meter.count('micronova_bus_messages_sent_total', { queue, outcome: 'refused' });
        throw error;
      }
    },
    subscribe(topic, handle) {
      const queue = queueLabel(topic);
      return transport.subscribe(topic, (message, isAgain) => {
        meter.count('micronova_bus_messages_received_total', { queue });
        if (isAgain) meter.count('micronova_bus_messages_redelivered_total', { queue });
        return handle(message, isAgain);
      });
    },
    trouble: () => transport.trouble(),
    close: () => transport.close(),
  };
}
