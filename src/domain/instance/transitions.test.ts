/** The state table, exhaustively: every state × task × operation × lock × role, against Nova's rules said here once more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudError } from '../errors.ts';
import { INSTANT_KINDS, OPERATION_KINDS, type OperationKind } from '../operation/operation.ts';
import { TASK_STATES, type TaskState, VM_STATES, type VmState } from './states.ts';
import { actionOf, checkAllowed, GUARDS, mayBeginDuring, TRANSITIONS, type Transition } from './transitions.ts';

const ID = '00000000-0000-4000-8000-000000000000';

type Asked = OperationKind | keyof typeof GUARDS;

/** `from`: vm_states; `during`: task_states in which it may begin beside none; lists are words. */
interface Rule {
  /** What clients call it. */
  readonly name: string;
  /** In a refusal, where that is another word. */
  readonly refusedAs?: string;
  readonly from: string;
  readonly during?: string;
  readonly admin?: true;
  /** Works on a locked server too. */
  readonly unlockedBy?: 'anybody';
}

const EVERYTHING =
  'building active stopped paused suspended rescued shelved shelved_offloaded resized soft-delete error';
const SOFT_REBOOT = 'rebooting reboot_pending reboot_started';
const ANY = TASK_STATES.join(' ');

const CONSOLE = {
  from: 'active paused rescued error',
  during: TASK_STATES.filter((task) => task !== 'deleting').join(' '),
  unlockedBy: 'anybody',
} as const;

/** From the table of server actions in Nova's documentation and decorators; where Micronova has its own, it says so. */
const RULES: Readonly<Record<Asked, Rule>> = {
  create: { name: 'create', from: '' },
  delete: { name: 'delete', from: EVERYTHING, during: ANY },
  forceDelete: { name: 'forceDelete', from: EVERYTHING, during: ANY },
  softDelete: { name: 'softDelete', from: 'active stopped paused suspended rescued error soft-delete', during: ANY },
  restore: { name: 'restore', from: 'soft-delete' },
  start: { name: 'start', from: 'stopped' },
  stop: { name: 'stop', from: 'active error' },
  // Micronova's own: os-stop {"type": "HARD"} wins over what waits for the guest.
  forceStop: { name: 'stop', from: 'active error', during: `powering-off ${SOFT_REBOOT}` },
  reboot: { name: 'reboot', from: 'active' },
  hardReboot: {
    name: 'reboot',
    from: 'active stopped paused suspended error',
    during: `${SOFT_REBOOT} pausing unpausing suspending resuming`,
  },
  pause: { name: 'pause', from: 'active' },
  unpause: { name: 'unpause', from: 'paused' },
  suspend: { name: 'suspend', from: 'active' },
  resume: { name: 'resume', from: 'suspended' },
  rescue: { name: 'rescue', from: 'active stopped error' },
  unrescue: { name: 'unrescue', from: 'rescued' },
  rebuild: { name: 'rebuild', from: 'active stopped error' },
  // Micronova's own: Nova asks only whether there is such a server.
  securityGroups: { name: 'change security groups of', from: EVERYTHING, during: ANY },
  fixedIps: { name: 'change addresses of', from: EVERYTHING, during: ANY },
  attachInterface: { name: 'attach_interface', from: 'active stopped paused' },
  detachInterface: { name: 'detach_interface', from: 'active stopped paused' },
  shelve: { name: 'shelve', from: 'active stopped paused suspended' },
  shelveOffload: { name: 'shelveOffload', from: 'shelved', admin: true },
  unshelve: { name: 'unshelve', from: 'shelved shelved_offloaded' },
  createImage: { name: 'createImage', from: 'active stopped paused suspended' },
  createBackup: { name: 'createBackup', from: 'active stopped paused suspended' },
  changePassword: { name: 'changePassword', from: 'active' },
  resize: { name: 'resize', from: 'active stopped' },
  migrate: { name: 'migrate', from: 'active stopped', admin: true },
  liveMigrate: { name: 'live-migration', refusedAs: 'os-migrateLive', from: 'active paused', admin: true },
  evacuate: { name: 'evacuate', from: 'active stopped error', admin: true },
  confirmResize: { name: 'confirmResize', from: 'resized' },
  revertResize: { name: 'revertResize', from: 'resized' },
  lock: { name: 'lock', from: EVERYTHING, during: ANY, unlockedBy: 'anybody' },
  unlock: { name: 'unlock', from: EVERYTHING, during: ANY, unlockedBy: 'anybody' },
  // Nova lets it happen in the middle of something; here that is cancelled first.
  // In Nova also a shelved one, whose image nobody finds then, and one that was moved and has two hosts.
  resetState: {
    name: 'resetState',
    from: EVERYTHING.replace('shelved shelved_offloaded resized ', ''),
    admin: true,
    unlockedBy: 'anybody',
  },
  // Nova wants nothing going on; a guest that hangs while it is shut off is the one whose dump is wanted.
  trigger_crash_dump: { name: 'trigger_crash_dump', from: 'active paused rescued error', during: ANY },
  metadata: { name: 'update metadata', from: 'active stopped paused suspended', during: ANY },
  vncConsole: { name: 'get_vnc_console', ...CONSOLE },
  serialConsole: { name: 'get_serial_console', ...CONSOLE },
};

const ASKED = Object.keys(RULES) as Asked[];

interface Case {
  readonly kind: Asked;
  readonly vmState: VmState;
  readonly task: TaskState | null;
  readonly locked: boolean;
  readonly isAdmin: boolean;
}

function expected({ kind, vmState, task, locked, isAdmin }: Case): string {
  const { refusedAs, from, during = '', admin, unlockedBy } = RULES[kind];
  const name = refusedAs ?? RULES[kind].name;
  if (admin && !isAdmin) return `403 Policy doesn't allow os_compute_api:servers:${name} to be performed.`;
  if (locked && !isAdmin && !unlockedBy) return `409 Instance ${ID} is locked`;
  if (!from.split(' ').includes(vmState))
    return `409 Cannot '${name}' instance ${ID} while it is in vm_state ${vmState}`;
  if (task !== null && !during.split(' ').includes(task))
    return `409 Cannot '${name}' instance ${ID} while it is in task_state ${task}`;
  return 'allowed';
}

function outcome({ kind, vmState, task, locked, isAdmin }: Case): string {
  try {
    checkAllowed(kind, { id: ID, vmState, taskState: task, locked }, { isAdmin });
    return 'allowed';
  } catch (error) {
    assert.ok(error instanceof CloudError);
    return `${error.status} ${error.message}`;
  }
}

test('every operation is allowed exactly where it may begin, and refused in Nova’s words elsewhere', () => {
  assert.deepEqual(ASKED.toSorted(), [...OPERATION_KINDS, ...Object.keys(GUARDS)].toSorted());
  for (const kind of ASKED) {
    assert.equal(actionOf(kind), RULES[kind].name);
    for (const vmState of VM_STATES)
      for (const task of [null, ...TASK_STATES])
        for (const locked of [false, true])
          for (const isAdmin of [false, true]) {
            const each = { kind, vmState, task, locked, isAdmin };
            assert.equal(outcome(each), expected(each), JSON.stringify(each));
          }
  }
});

test('what may pre-empt says so for each task, and nothing else does', () => {
  for (const kind of OPERATION_KINDS)
    for (const task of TASK_STATES) {
      const wanted = (RULES[kind].during ?? '').split(' ').includes(task);
      assert.equal(mayBeginDuring(TRANSITIONS[kind], task), wanted, `${kind} during ${task}`);
    }
});

/** Where each ends and where its failure leaves the server; `=` is as it began. */
const ENDS: Readonly<Record<OperationKind, string>> = {
  create: 'active | error',
  delete: 'deleted | error',
  forceDelete: 'deleted | error',
  softDelete: 'soft-delete | =',
  restore: 'active | =',
  start: 'active | =',
  stop: 'stopped | =',
  forceStop: 'stopped | =',
  reboot: 'active | =',
  hardReboot: 'active | error',
  pause: 'paused | =',
  unpause: 'active | =',
  suspend: 'suspended | =',
  resume: 'active | =',
  rescue: 'rescued | =',
  unrescue: 'active | =',
  rebuild: 'active stopped | error',
  shelve: 'shelved shelved_offloaded | =',
  shelveOffload: 'shelved_offloaded | =',
  unshelve: 'active | =',
  createImage: '= | =',
  createBackup: '= | =',
  changePassword: '= | =',
  resize: 'resized | =',
  migrate: 'resized | =',
  liveMigrate: '= | =',
  evacuate: 'active stopped | =',
  attachInterface: '= | =',
  detachInterface: '= | =',
  confirmResize: 'active stopped | =',
  revertResize: 'active stopped | =',
};

test('every operation ends where Nova’s does', () => {
  for (const kind of OPERATION_KINDS) {
    const { to, onFailure }: Transition = TRANSITIONS[kind];
    const text = `${to === 'same' ? '=' : to.join(' ')} | ${onFailure === 'same' ? '=' : onFailure}`;
    assert.equal(text, ENDS[kind], kind);
  }
});

test('every task belongs to an operation, is set once, and the first one is shown as soon as it is accepted', () => {
  const used = new Set<TaskState>();
  for (const kind of OPERATION_KINDS) {
    const { tasks }: Transition = TRANSITIONS[kind];
    for (const task of tasks) used.add(task);
    assert.equal(new Set(tasks).size, tasks.length, kind);
  }
  assert.deepEqual([...used].toSorted(), [...TASK_STATES].toSorted());
  for (const kind of INSTANT_KINDS) assert.ok(kind in GUARDS);
});

test('from every state there is a way to an end: nothing is a trap', () => {
  for (const vmState of VM_STATES.filter((state) => state !== 'deleted'))
    for (const task of [null, ...TASK_STATES]) {
      const owner = { locked: false, isAdmin: false };
      assert.equal(outcome({ kind: 'delete', vmState, task, ...owner }), 'allowed');
    }
  assert.ok(
    ASKED.every(
      (kind) => outcome({ kind, vmState: 'deleted', task: null, locked: false, isAdmin: true }) !== 'allowed',
    ),
  );
});
