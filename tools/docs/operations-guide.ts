/**
 * The guide of the operations: for each how to ask for it, its flow as the tutorial draws it, its steps, and the trace of a
 * real run. All but the traces comes from the definitions; the traces are put in by `tools/operations-tour.ts`.
 */
import { actionOf, TRANSITIONS, type Transition } from '#domain/instance/transitions.ts';
import { OPERATION_KINDS, type OperationKind } from '#domain/operation/operation.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { table } from './markdown.ts';

interface Chapter {
  readonly title: string;
  /** The command of a client. */
  readonly ask: string;
  /** What happens, in the tutorial's words. */
  readonly flow: string;
}

export const CHAPTERS: Readonly<Record<OperationKind, Chapter>> = {
  create: {
    title: 'Launch',
    ask: 'openstack server create --image IMAGE --flavor m1.nano web',
    flow: 'The client asks nova-api, which writes the server down (BUILD) and answers 202. nova-conductor asks nova-scheduler for a host; its nova-compute fetches the image from Glance into the host’s cache, makes a copy-on-write disk and a config drive, and starts QEMU.',
  },
  stop: {
    title: 'Shut off',
    ask: 'openstack server stop web',
    flow: 'nova-api → message → nova-compute: press the power button (ACPI) → the guest writes its files and switches off → SHUTOFF. A guest that does not listen is ended after the time the cloud or its image gives (`os_shutdown_timeout`).',
  },
  start: {
    title: 'Start',
    ask: 'openstack server start web',
    flow: 'nova-api → message → nova-compute: start QEMU on the same disk → ACTIVE.',
  },
  forceStop: {
    title: 'Shut off at once',
    ask: `POST /servers/ID/action {"os-stop": {"type": "HARD"}}`,
    flow: 'As the plug being pulled: the process is ended without asking the guest. It is stronger than a shutting off that waits for the guest.',
  },
  reboot: {
    title: 'Soft reboot',
    ask: 'openstack server reboot web',
    flow: 'nova-api → message → nova-compute: press the power button → the guest shuts down in order → it boots again in the same QEMU process. One that does not listen gets a new process.',
  },
  hardReboot: {
    title: 'Hard reboot',
    ask: 'openstack server reboot --hard web',
    flow: 'A new QEMU process on the same disks, whatever the old one did; also from SHUTOFF, PAUSED, SUSPENDED and ERROR. Stronger than a soft reboot that waits.',
  },
  pause: {
    title: 'Pause',
    ask: 'openstack server pause web',
    flow: 'nova-api → message → nova-compute: stop the processors. The memory stays where it is, and so does the process.',
  },
  unpause: {
    title: 'Unpause',
    ask: 'openstack server unpause web',
    flow: 'The processors go on with the next instruction.',
  },
  suspend: {
    title: 'Suspend',
    ask: 'openstack server suspend web',
    flow: 'nova-api → message → nova-compute: write the memory to the host’s disk, end the process. It needs no memory of the host any more and survives its restart.',
  },
  resume: {
    title: 'Resume',
    ask: 'openstack server resume web',
    flow: 'A new process is filled with the memory from disk and goes on where the old one was.',
  },
  rescue: {
    title: 'Rescue',
    ask: 'openstack server rescue --image IMAGE web',
    flow: 'nova-api → message → nova-compute: shut the guest off → put a disk over the rescue image before its own → start. The broken disk is /dev/vdb; the password is in the answer.',
  },
  unrescue: {
    title: 'Unrescue',
    ask: 'openstack server unrescue web',
    flow: 'The rescue disk goes, and the guest boots from its own again.',
  },
  createImage: {
    title: 'Snapshot',
    ask: 'openstack server image create --name snap web',
    flow: 'The tutorial’s way: pause point → copy the disk → resume point → upload to Glance. Here the pause point is the moment in which QEMU’s backup job begins; the guest is never stopped. Where it has an agent its file systems are frozen for that moment.',
  },
  createBackup: {
    title: 'Backup',
    ask: 'openstack server backup create --type daily --rotate 3 web',
    flow: 'A snapshot, after which the oldest of its type beyond the wanted number go.',
  },
  rebuild: {
    title: 'Rebuild',
    ask: 'openstack server rebuild --image IMAGE web',
    flow: 'nova-api → message → nova-compute: fetch the image → shut off → a new root disk beside the old one → start → remove the old one. Id, ports, addresses, flavor, metadata and host stay. A failure puts the old disk back.',
  },
  shelve: {
    title: 'Shelve',
    ask: 'openstack server shelve web',
    flow: 'nova-api → message → nova-compute: shut off → copy the disk → upload to Glance as `web-shelved` → leave the host (`shelved_offload_seconds`: at once, later or never).',
  },
  shelveOffload: {
    title: 'Offload a shelved server',
    ask: 'openstack server shelve --offload web',
    flow: 'Process, files and room on the host are given back; the disk is in the image.',
  },
  unshelve: {
    title: 'Unshelve',
    ask: 'openstack server unshelve web',
    flow: 'nova-scheduler picks a host, which fetches the shelved image and starts the guest; then the image is removed.',
  },
  changePassword: {
    title: 'Change the password',
    ask: 'openstack server set --root-password web',
    flow: 'nova-api → message → nova-compute → the agent in the guest, where the image says that there is one (`hw_qemu_guest_agent=yes`).',
  },
  migrate: {
    title: 'Migrate',
    ask: 'openstack server migrate web',
    flow: 'nova-scheduler claims room on another host; what the server holds is kept. nova-compute shuts the guest off, the other host’s nova-compute fetches its disks from there over an encrypted channel, and boots it. The server waits in VERIFY_RESIZE; what it was copied from stays as it is.',
  },
  resize: {
    title: 'Resize',
    ask: 'openstack server resize --flavor m1.micro web',
    flow: 'As migrate, with another flavor; the disk grows on its way. Where the scheduler finds no better host the guest gets a copy of its disk beside the old one.',
  },
  liveMigrate: {
    title: 'Live migrate',
    ask: 'openstack server migrate --live-migration web',
    flow: 'nova-scheduler claims room on another host, where nova-compute makes a guest that waits. QEMU there gets the disks (mirrored) and the memory from QEMU here, through the agents’ channel, while the guest runs; for the last of it the guest stands still. Then the record says where the server is, and the guest goes on there.',
  },
  attachInterface: {
    title: 'Attach interface',
    ask: 'openstack server add network web private',
    flow: 'nova-api makes a port, or takes the one that is given, in the transaction that accepts the request. nova-compute asks for what its networks shall be now, makes the port’s tap, and plugs a card into the guest, running or not.',
  },
  detachInterface: {
    title: 'Detach interface',
    ask: 'openstack server remove network web private',
    flow: 'The guest is asked to let go of the card; when it has, the card is gone, and then the port: deleted if it was made for the server, else free again.',
  },
  evacuate: {
    title: 'Evacuate',
    ask: 'openstack server evacuate web   # its host is down',
    flow: 'nova-scheduler claims room on another host, which makes the guest anew from its image: what was on its disk died with the host. The record gives the server to the new host, and the old one removes its guest when it comes back.',
  },
  confirmResize: {
    title: 'Confirm a move',
    ask: 'openstack server resize confirm web',
    flow: 'What is left of the server where it came from is removed: its guest there, or its old disk, and the room that it held.',
  },
  revertResize: {
    title: 'Revert a move',
    ask: 'openstack server resize revert web',
    flow: 'The copy is removed, and the server boots where it came from, with its old flavor and the disk as it was when it left.',
  },
  softDelete: {
    title: 'Delete, softly',
    ask: 'openstack server delete web   # with reclaim_seconds above 0',
    flow: 'The guest is switched off and kept until its time is over.',
  },
  restore: {
    title: 'Restore',
    ask: 'openstack server restore web',
    flow: 'A softly deleted server boots again.',
  },
  delete: {
    title: 'Terminate',
    ask: 'openstack server delete web',
    flow: 'Whatever is going on with the server is cancelled and undone first; then process, files and room on the host go. It works from every state, also when the host is down.',
  },
  forceDelete: {
    title: 'Terminate for good',
    ask: 'openstack server delete --force web',
    flow: 'As terminate, also where servers are deleted softly.',
  },
};

/** The page, with a trace for each kind. */
export function operationsGuide(traces: ReadonlyMap<string, string>): string {
  const sections = (Object.keys(CHAPTERS) as OperationKind[]).map((kind) => section(kind, traces.get(kind) ?? ''));
  return `# The operations, one by one

<!-- Generated by 'npm run docs:operations', which runs each of them on a real guest; do not edit. -->

A client asks **nova-api**; nova-api checks the [state table](../reference/states.md), writes the operation down and answers;
**nova-conductor** takes it and runs its steps; **nova-scheduler** picks a host where one is needed; **nova-compute** acts on
QEMU; **Glance** keeps the images. Each trace below is what \`micronova trace REQUEST\` printed for a real run, on a
machine without KVM.

An operation that is going on is cancelled by \`DELETE /servers/ID/os-instance-actions/REQUEST\` or \`micronova op cancel ID\`:
what it did is undone. How far it is shows in \`openstack server event show web REQUEST\` and in \`micronova op ls\`.

${sections.join('\n\n')}
`;
}

function section(kind: OperationKind, trace: string): string {
  const { title, ask, flow } = CHAPTERS[kind];
  const { from, to, onFailure }: Transition = TRANSITIONS[kind];
  const rows = OPERATIONS[kind].steps.map((step) => [
    `\`${step.name}\``,
    step.doc,
    step.pointOfNoReturn ? 'point of no return' : step.undo ? 'taken back' : '',
  ]);
  const starts = from.length === 0 ? 'nothing' : from.join(', ');
  const ends = to === 'same' ? 'as it began' : to.join(' or ');
  return `## ${title}

\`\`\`
${ask}
\`\`\`

${flow}

From ${starts}; ends ${to === 'same' ? ends : `in ${ends}`}; after a failure: ${onFailure === 'same' ? 'as it began' : onFailure}. Among the actions of the server it is \`${actionOf(kind)}\`.

${table(['step', 'does', 'after a failure'], rows)}

<!-- trace of ${kind} -->
\`\`\`
${trace}
\`\`\``;
}

/** The traces that a page has. */
export function tracesIn(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(/<!-- trace of (\w+) -->\n```\n(.*?)\n```/gs)].map(([, kind = '', trace = '']) => [kind, trace]),
  );
}

/** What is wrong with a page: it says something else than the definitions, or lacks a trace. */
export function guideProblems(text: string): string[] {
  const traces = tracesIn(text);
  const missing = OPERATION_KINDS.filter((kind) => (traces.get(kind) ?? '') === '');
  if (missing.length > 0) return [`it has no trace of ${missing.join(', ')}`];
  return operationsGuide(traces) === text ? [] : ['it does not say what the definitions say'];
}
