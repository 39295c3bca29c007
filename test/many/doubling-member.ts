/**
 * A process of the cloud that sends some of its messages twice, the second time a little later: `node doubling-member.ts serve
 * --roles ROLES --data DIR`, with settings from the environment as the command line has them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { openBus } from '#bus/open.ts';
import type { Transport } from '#bus/transport.ts';
import { loadConfig } from '#config/config.ts';
import { startProcess } from '../../src/main.ts';
import { ROLES } from '../../src/roles/role.ts';

/** One message in so many. */
const EVERY = 7;
const LATE_MS = 40;

const { values } = parseArgs({
  allowPositionals: true,
  options: { roles: { type: 'string' }, data: { type: 'string' } },
});
const config = loadConfig({ flags: { data: values.data }, env: process.env });
const transport = await openBus({
  url: config.bus,
  queues: config.bus_queues,
  ca: '',
  cert: '',
  key: '',
  name: config.host_name,
  log: pino({ level: 'silent' }),
});
let sent = 0;
const doubling: Transport = {
  ...transport,
  async publish(topic, message, options) {
    await transport.publish(topic, message, options);
    if (sent++ % EVERY !== 0) return;
    // What cannot be sent a second time was sent once.
    void delay(LATE_MS, undefined, { ref: false })
      .then(() => transport.publish(topic, message, options))
      .catch(() => undefined);
  },
};
const roles = ROLES.filter((role) => values.roles?.split(',').includes(role));
const member = await startProcess(config, roles, { transport: doubling });
process.stdout.write(`ready ${member.url ?? roles.join(',')}\n`);
process.once('SIGTERM', () => void member.close({ stopGuests: false }));
