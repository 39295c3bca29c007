/** Two guests that speak to each other over their network, by a connection that is begun once. */
import { setTimeout as delay } from 'node:timers/promises';
import { CommandError } from '../command-error.ts';
import type { OpenStack } from '../openstack.ts';
import type { Guest } from './servers.ts';

/** Runs a command in a guest; answers what it printed. */
type Typing = (guest: Guest, command: string) => Promise<string>;

export interface Talk {
  /** Waits until more has come; answers how much. Throws `CommandError` when nothing comes, and when something is missing. */
  goesOn(): Promise<number>;
}

const PATIENCE_MS = 30_000;
const POLL_MS = 200;

/** Whether the host of a server runs networks; without them each guest is alone. */
export async function haveNetwork(admin: OpenStack, serverId: string): Promise<boolean> {
  const { body } = await admin.request<{ ports: { 'binding:vif_type': string }[] }>(
    'GET',
    `/network/v2.0/ports?device_id=${serverId}`,
  );
  return body.ports.some((port) => port['binding:vif_type'] === 'tap');
}

/** The one sends numbers to the other, which knows it by its name. Resolves when they come. */
export async function beginTalk(
  type: Typing,
  { from, to, name }: { readonly from: Guest; readonly to: Guest; readonly name: string },
): Promise<Talk> {
  await type(from, '(n=0; while n=$((n+1)); do echo $n; usleep 20000; done | nc -l -p 5000) > /dev/null 2>&1 & :');
  // Both ends stay open: nobody writes into the pipe, and nobody closes it.
  await type(to, 'mkfifo /run/quiet; sleep 100000 > /run/quiet & :');
  await type(to, `(until nc ${name} 5000; do usleep 100000; done < /run/quiet > /run/heard) 2> /dev/null & :`);
  // How much has come, and whether all of it is there; the last line may be half of one. The console may have other things to say.
  const look = async () => {
    const whole = "sed '$d' /run/heard | awk '$1 != NR { exit 1 }'";
    const said = await type(to, `echo "heard $(grep -c '' /run/heard) $(${whole}; echo $?)"`);
    const [, count = '0', missing = '0'] = /heard (\d+) (\d)/.exec(said) ?? [];
    if (missing !== '0') throw new CommandError('something of what the one guest said is missing');
    return Number(count);
  };
  const goesOn = async () => {
    const before = await look();
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const count = await look();
      if (count > before + 10) return count;
      if (Date.now() > deadline) throw new CommandError('the guests do not hear each other any more');
      await delay(POLL_MS);
    }
  };
  await goesOn();
  return { goesOn };
}
