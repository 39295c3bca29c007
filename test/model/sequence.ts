/**
 * One sequence on one server: each step asks for something, while the driver fails, hangs or is slow, and other things happen
 * meanwhile; then the model says whether the answers were right, what the server may be now, and whether its data is still there.
 */
import assert from 'node:assert/strict';
import { resumeOperation } from '#db/repo/operations.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import type { OperationRow } from '#db/tables/journal.ts';
import { DriverError } from '#services/compute/driver/driver-error.ts';
import type { Fault, FaultPoint } from '#services/compute/driver/fake/faults.ts';
import type { TestCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { type Photo, photoOf } from '../operations/photo.ts';
import type { TestServer } from '../server.ts';
import type { Gate } from './gate.ts';
import { BY_ITSELF, type Exit, GUEST, type Rule, type State } from './rules.ts';
import { type Meanwhile, type Step, type Trouble, troubleOf } from './script.ts';

/** Only what never comes takes this long, however busy the machine. */
const PATIENCE_MS = 60_000;

export interface Stage {
  readonly cloud: TestCloud;
  readonly gate: Gate;
  readonly image: string;
  readonly rules: Readonly<Record<string, Rule>>;
}

/** A sequence that went wrong, with everything that happened in it. */
export class Contradiction extends Error {
  override readonly name = 'Contradiction';
}

export class Sequence {
  readonly #stage: Stage;
  readonly #told: string[] = [];
  #server: TestServer | null = null;
  #locked = false;
  /** What is in its root disk; null when that was taken away. */
  #disk: string | null = null;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Runs it and removes the server. Throws `Contradiction`. */
  async run(script: readonly Step[]): Promise<void> {
    try {
      const { cloud } = this.#stage;
      this.#server = await this.#in(() => cloud.server({ image: this.#stage.image }).accepted());
      await this.#rest();
      this.#disk = rootOf(await this.#photo());
      this.#say(`launched ${this.#server.id}`);
      for (const step of script) {
        await this.#step(step);
        if ((await this.#photo()).vmState === 'deleted') return;
      }
      await this.#remove();
    } catch (error) {
      throw new Contradiction(`${(error as Error).message}\n${this.#told.map((line) => `  ${line}`).join('\n')}`, {
        cause: error,
      });
    } finally {
      if (this.#server) await this.#removeImages(this.#server.id);
    }
  }

  async #step(step: Step): Promise<void> {
    const { cloud, rules } = this.#stage;
    const before = await this.#photo();
    const wish = this.#choose(step, before);
    const rule = rules[wish] as Rule;
    const trouble = troubleOf(step, rule);
    this.#say(`${before.vmState}: ${wish}, ${JSON.stringify(trouble)}`);
    cloud.driver.setFault(this.#id, faultOf(trouble));
    const asked = [await this.#wish(wish)];
    const exits: Exit[] = [];
    if (trouble.type === 'hangs' || trouble.type === 'slow') {
      for (const each of step.meanwhile) {
        if (each.type === 'exit') exits.push(each.as);
        asked.push(...(await this.#meanwhile(each, asked)));
      }
    }
    if (trouble.type !== 'fails') cloud.driver.setFault(this.#id, null);
    await this.#rest();
    cloud.driver.setFault(this.#id, null);
    if (trouble.type === 'fails') this.#say('the driver works again');
    const isSmooth = trouble.type === 'none' && exits.length === 0 && this.#disk !== null;
    await this.#check(
      before,
      asked.flatMap((each) => each ?? []),
      exits,
      isSmooth,
    );
    if (step.afterwards) await this.#byItself(step.afterwards);
  }

  /** A wish that may begin in this state, or any at all. */
  #choose({ anyWish, draw }: Step, { vmState }: Photo): string {
    const state = vmState as State;
    const all = Object.entries(this.#stage.rules).filter(([, { from, chosenFrom }]) =>
      chosenFrom ? chosenFrom.includes(state) : anyWish || from.includes(state),
    );
    // Deletions end a sequence, and locks hold it up: seldom enough, they come last.
    const rare = ['delete', 'forceDelete', 'lock'];
    const often = all.filter(([name]) => !rare.includes(name));
    const pool = [...often, ...often, ...often, ...all].map(([name]) => name);
    return pool[Math.floor(draw * pool.length)] as string;
  }

  /** Asks; answers what was accepted, null when it was refused. Throws when the answer cannot be right. */
  async #wish(name: string): Promise<Accepted | null> {
    const rule = this.#stage.rules[name] as Rule;
    const before = await this.#look();
    const [status, message, requestId] = await this.#send(rule);
    const after = await this.#look();
    const operation = after.operations.find((each) => each.request_id === requestId) ?? null;
    this.#say(`  ${name} of ${before.row.vm_state}/${before.row.task_state}: ${status} ${message}`);
    const isQuiet = after.row.version === before.row.version;
    if (status >= 500 && !operation) throw new Error(`${name} was answered with ${status}`);
    if (operation || (status < 300 && rule.kind === undefined)) {
      const refusal = this.#refusal(rule, before);
      // Between looking and asking something may have ended; then it is for the end to tell whether all is well.
      const opened = before.operations.filter(isOpen).map(({ id }) => id);
      const ended = after.operations.filter((each) => opened.includes(each.id) && !isOpen(each));
      if (refusal !== null && ended.length === 0) throw new Error(`${name} was accepted: ${refusal}`);
      if (name === 'lock') this.#locked = true;
      if (name === 'unlock') this.#locked = false;
      return { name, rule, operation };
    }
    if (status < 300) {
      // A deletion that is on its way, or has been as good as done, is granted again.
      assert.equal(name, 'delete', `${name} was accepted and there is no operation`);
      return null;
    }
    if (isQuiet && this.#refusal(rule, before) === null) throw new Error(`${name} was refused: ${message}`);
    return null;
  }

  /** Why it must be refused now, by the rules; null when it must be accepted. */
  #refusal(rule: Rule, { row, operations }: Seen): string | null {
    const isByOwner = !rule.admin;
    const minds = !['lock', 'unlock'].includes(typeof rule.request === 'string' ? '' : rule.request.action);
    if (this.#locked && isByOwner && minds) return 'it is locked';
    if (!rule.from.includes(row.vm_state as State)) return `it is ${row.vm_state}`;
    const onNoHost = row.host === null && rule.kind !== undefined;
    if (onNoHost && !['unshelve', 'forceDelete', 'delete', 'softDelete'].includes(rule.kind ?? ''))
      return 'it is on no host';
    const open = operations.filter(isOpen);
    if (row.task_state === null || rule.over === 'anything') {
      const same = open.some(({ kind, state }) => kind === rule.kind && state !== 'needs_attention');
      return same ? 'the same is going on' : null;
    }
    const { over } = rule;
    const owner = open.find(({ id }) => id === row.operation_id);
    return over !== 'nothing' && owner && over.includes(owner.kind) ? null : `${owner?.kind} is going on`;
  }

  async #send({ request, admin }: Rule): Promise<readonly [number, string, string]> {
    const { cloud } = this.#stage;
    const { status, body, requestId } = await this.#in(async () =>
      request === 'DELETE'
        ? (await cloud.as('demo')).request('DELETE', `/compute/v2.1/servers/${this.#id}`)
        : this.#it.ask(request.action, request.argument, admin ? 'admin' : 'demo'),
    );
    const [error] = status >= 400 ? Object.values((body ?? {}) as Record<string, { message?: string }>) : [];
    return [status, error?.message ?? '', requestId];
  }

  async #meanwhile(each: Meanwhile, asked: readonly (Accepted | null)[]): Promise<(Accepted | null)[]> {
    if (each.type === 'wish') return [await this.#wish(each.wish)];
    if (each.type === 'exit') {
      this.#say(`  the guest: ${each.as}`);
      await this.#in(() => this.#stage.cloud.driver.exit(this.#id, each.as));
      return [];
    }
    const last = asked.findLast((accepted) => accepted?.operation)?.operation;
    if (!last) return [];
    const { status } = await this.#in(() => this.#it.cancel(last.request_id));
    this.#say(`  cancel ${last.kind}: ${status}`);
    const isRight = status === 202 || status === 409;
    if (!isRight) throw new Error(`a cancel was answered with ${status}`);
    if (status === 202) this.#cancelled.add(last.id);
    return [];
  }

  readonly #cancelled = new Set<string>();

  /** Compares what has become of it with what may. */
  async #check(before: Photo, asked: readonly Accepted[], exits: readonly Exit[], isSmooth: boolean): Promise<void> {
    const { operations } = await this.#look();
    const possible = new Set<State>([before.vmState as State]);
    for (const { rule, operation } of asked) {
      const ended = operations.find(({ id }) => id === operation?.id);
      const isDone = operation === null || ended?.state === 'done';
      if (isSmooth && operation && !this.#cancelled.has(operation.id))
        assert.equal(
          ended?.state,
          'done',
          `${operation.kind} met nothing and ended as ${ended?.state}: ${ended?.error}`,
        );
      if (isDone && rule.to.length > 0) possible.clear();
      for (const state of isDone ? rule.to : rule.failed) if (state !== '=') possible.add(state);
    }
    for (const exit of exits) possible.add(BY_ITSELF[exit]);
    const lost = this.#disk === null;
    if (lost) possible.add('error');
    const replaces = asked.some(({ rule }) => rule.kind === 'rebuild' || rule.kind === 'unshelve');
    const after = await this.#agreed([...possible]);
    this.#say(`is ${after.vmState}, the guest ${after.guest}, disks ${after.disks.map(([name]) => name)}`);
    this.#checkDisk(after, replaces);
  }

  /** Waits until record and guest agree, in one of these states. */
  async #agreed(possible: readonly State[]): Promise<Photo> {
    let last: Photo | undefined;
    const problem = (photo: Photo) => {
      const state = photo.vmState as State;
      if (!possible.includes(state)) return `it is ${state} and can only be ${possible}`;
      if (state !== 'error' && !GUEST[state].includes(photo.guest)) return `it is ${state}, its guest ${photo.guest}`;
      if (photo.room !== photo.host) return `it is on ${photo.host} and has room on ${photo.room}`;
      return null;
    };
    await eventually(
      'record and guest agree',
      async () => {
        last = await this.#photo();
        return problem(last) === null;
      },
      { withinMs: PATIENCE_MS },
    ).catch(() => {
      throw new Error(last ? (problem(last) ?? 'late') : 'never seen');
    });
    return last as Photo;
  }

  /** What is in the root disk is what was, unless somebody wanted another; and there is one root disk. */
  #checkDisk(photo: Photo, replaces: boolean): void {
    const { vmState, disks } = photo;
    if (vmState === 'deleted' || vmState === 'shelved_offloaded') {
      this.#disk = null;
      return;
    }
    if (vmState !== 'error') assert.equal(disks.length, vmState === 'rescued' ? 2 : 1, `disks ${disks}`);
    const now = rootOf(photo);
    const isThere = disks.some(([, content]) => content === this.#disk);
    if (this.#disk !== null && !isThere && !replaces) throw new Error('its disk is gone, and nobody wanted that');
    if (vmState === 'error' && isThere) return;
    if (this.#disk !== null && now !== this.#disk && !replaces)
      throw new Error('it runs from another disk than before');
    this.#disk = now === 'missing' ? null : now;
  }

  async #byItself(then: Exit | 'loses its disk'): Promise<void> {
    const { cloud } = this.#stage;
    const { vmState, guest, disks } = await this.#photo();
    if (vmState === 'deleted' || vmState === 'error') return;
    this.#say(`the guest: ${then}`);
    if (then === 'loses its disk') {
      const name = disks[0]?.[0];
      if (vmState !== 'active' || name === undefined) return;
      await this.#in(() => cloud.driver.loseDisk(this.#id, name));
      this.#disk = null;
      // Nobody notices until it has to start from it.
      await this.#in(() => cloud.driver.exit(this.#id, 'crashed'));
      await this.#agreed(['error']);
      return;
    }
    await this.#in(() => cloud.driver.exit(this.#id, then));
    const changed = guest === 'running' && vmState !== 'rescued';
    await this.#agreed([changed ? BY_ITSELF[then] : (vmState as State)]);
  }

  /** Waits until nothing goes on; what needs a person gets one, who says that it shall go on. */
  async #rest(): Promise<void> {
    const open = async () => (await this.#look()).operations.filter(isOpen);
    await eventually(
      'every operation ended',
      async () => {
        const left = await open();
        for (const { id, state } of left) {
          if (state !== 'needs_attention') continue;
          this.#say(`  ${id} needs attention, and is resumed`);
          await this.#in(() => this.#stage.cloud.db.transaction((trx) => resumeOperation(trx, id, Date.now())));
        }
        return left.length === 0;
      },
      { withinMs: PATIENCE_MS, state: open },
    );
  }

  async #remove(): Promise<void> {
    if (this.#locked) await this.#wish('unlock');
    await this.#wish('forceDelete');
    await this.#rest();
    await this.#agreed(['deleted']);
  }

  #removeImages(id: string): Promise<void> {
    return this.#in(async () => {
      const demo = await this.#stage.cloud.as('demo');
      const path = `/image/v2/images?instance_uuid=${id}`;
      const { images } = await demo.ok<{ images: { id: string; name: string }[] }>('GET', path);
      // That of a shelving goes by itself, or is a leak.
      const asked = images.filter(({ name }) => name === 'snap' || name === 'backup');
      for (const image of asked) await demo.request('DELETE', `/image/v2/images/${image.id}`);
    });
  }

  #look(): Promise<Seen> {
    return this.#in(async () => {
      const { queries } = this.#stage.cloud.db;
      const [row, operations] = await Promise.all([
        queries.selectFrom('servers').selectAll().where('id', '=', this.#id).executeTakeFirstOrThrow(),
        queries.selectFrom('operations').selectAll().where('server_id', '=', this.#id).execute(),
      ]);
      return { row, operations };
    });
  }

  #photo(): Promise<Photo> {
    return this.#in(() => photoOf(this.#stage.cloud, this.#id));
  }

  #in<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#stage.gate.with(work);
  }

  #say(line: string): void {
    this.#told.push(line);
  }

  get #it(): TestServer {
    if (!this.#server) throw new Error('not launched');
    return this.#server;
  }

  get #id(): string {
    return this.#it.id;
  }
}

interface Accepted {
  readonly name: string;
  readonly rule: Rule;
  /** Null for what is done at once. */
  readonly operation: OperationRow | null;
}

interface Seen {
  readonly row: ServerRow;
  readonly operations: readonly OperationRow[];
}

function isOpen({ finished_at }: OperationRow): boolean {
  return finished_at === null;
}

/** What is in the server's own root disk: the second where a rescue disk is before it. */
function rootOf({ vmState, disks }: Photo): string {
  return disks[vmState === 'rescued' ? 1 : 0]?.[1] ?? 'missing';
}

function faultOf(trouble: Trouble): Fault | null {
  switch (trouble.type) {
    case 'none':
      return null;
    case 'slow':
      return { delayMs: trouble.ms };
    case 'hangs':
      return { blockAt: [trouble.point as FaultPoint] };
    case 'fails': {
      const { point, times, retryable } = trouble;
      const error = new DriverError(retryable ? 'tool_failed' : 'command_failed', `${point}: as the model wants it`);
      return { failAt: { [point]: { error, times } } };
    }
  }
}
