/** RabbitMQ conforms: what every transport must do, against a real broker; each test has a virtual host of its own. */
import { after } from 'node:test';
import pino from 'pino';
import { Broker } from '#local/rabbitmq.ts';
import { amqpTransport } from '../../src/bus/amqp/transport.ts';
import { busConformance } from '../../src/bus/conformance.ts';

const broker = await Broker.start();
after(() => broker[Symbol.asyncDispose]());

for (const queues of ['classic', 'quorum'] as const)
  busConformance(`RabbitMQ, ${queues} queues`, async () => {
    const transport = amqpTransport({
      url: await broker.vhost(),
      name: 'conformance',
      queues,
      log: pino({ level: 'silent' }),
      onPoison: () => {},
    });
    await transport.ready();
    return transport;
  });
