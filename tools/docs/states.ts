/** The state table as a page: rows, status words, and a diagram. */
import { STATUSES, statesOf, VM_STATES } from '#domain/instance/states.ts';
import { GUARDS, type Guard, TRANSITIONS, type Transition } from '#domain/instance/transitions.ts';
import { page, table } from './markdown.ts';

export function statesPage(): string {
  const rows = Object.entries(TRANSITIONS).map(([kind, transition]) => {
    const row: Transition = transition;
    return [
      `\`${kind}\``,
      ...guardCells(row),
      row.tasks.join(' → '),
      row.to === 'same' ? 'same' : row.to.join(' or '),
      row.onFailure,
    ];
  });
  const guards = Object.entries(GUARDS).map(([name, guard]) => [`\`${name}\``, ...guardCells(guard)]);
  const statuses = STATUSES.map((status) => [status, statesOf(status).map(describe).join('; ')]);
  return page(
    'States of a server',
    'src/domain/instance/transitions.ts',
    `
What may be asked of a server when, and where it leads. A request that does not fit is answered with 409. Of two
operations the stronger wins: what is in flight is cancelled and undone first.

${table(['operation', 'shown as', 'from vm_state', 'stronger than', 'a lock', 'role', 'task states', 'ends in', 'after a failure'], rows)}

What is done at once, or only looked at:

${table(['what', 'shown as', 'from vm_state', 'allowed during', 'a lock', 'role'], guards)}

## status

${table(['status', 'stands for'], statuses)}

## Diagram

\`\`\`mermaid
stateDiagram-v2
${diagram().join('\n')}
\`\`\`
`,
  );
}

function guardCells({ action, from, during, lock, role }: Guard): string[] {
  return [
    action,
    from.length === 0 ? '(new)' : from.length === VM_STATES.length - 1 ? 'any' : from.join(', '),
    during === 'none' ? 'nothing' : during === 'any' ? 'anything' : `what is ${during.join(', ')}`,
    lock === 'respect' ? 'holds it off' : 'does not matter',
    role,
  ];
}

function describe({ vmState, tasks }: ReturnType<typeof statesOf>[number]): string {
  if ('only' in tasks) return `\`${vmState}\` while ${tasks.only.join(', ')}`;
  return `\`${vmState}\``;
}

/** What ends anything is left out, or there would be nothing else to see. */
function diagram(): string[] {
  return Object.entries(TRANSITIONS).flatMap(([kind, transition]) => {
    const { from, to, during }: Transition = transition;
    if (to === 'same' || during === 'any') return [];
    const froms = from.length === 0 ? ['[*]'] : from;
    return froms.flatMap((each) => to.map((end) => `  ${each} --> ${end}: ${kind}`));
  });
}
