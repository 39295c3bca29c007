/** The state table as a page: rows, status words, and a diagram. */
import { statusOf, TRANSITIONS, type Transition, VM_STATES } from '#domain/instance/states.ts';
import { page, table } from './markdown.ts';

export function statesPage(): string {
  const rows = Object.entries(TRANSITIONS).map(([kind, transition]) => {
    const row: Transition = transition;
    return [
      `\`${kind}\``,
      row.from.length === 0 ? '(new)' : row.from.join(', '),
      row.during === 'any' ? 'any; what is in flight is undone first' : 'none',
      row.tasks.join(' → '),
      row.to,
      row.onFailure,
      row.lock === 'respect' ? 'holds it off' : 'does not matter',
      row.role,
    ];
  });
  const statuses = VM_STATES.map((state) => [`\`${state}\``, statusOf(state)]);
  return page(
    'States of a server',
    'src/domain/instance/states.ts',
    `
What may be asked of a server when, and where it leads. A request that does not fit is answered with 409.

${table(['operation', 'from vm_state', 'during task_state', 'task states', 'ends in', 'after a failure', 'a lock', 'role'], rows)}

## vm_state and status

${table(['vm_state', 'status'], statuses)}

## Diagram

\`\`\`mermaid
stateDiagram-v2
${diagram().join('\n')}
\`\`\`
`,
  );
}

function diagram(): string[] {
  return Object.entries(TRANSITIONS).flatMap(([kind, transition]) => {
    const row: Transition = transition;
    const froms = row.from.length === 0 ? ['[*]'] : row.from;
    return froms.map(
      (from) => `  ${from} --> ${row.to === 'same' ? from : row.to === 'deleted' ? '[*]' : row.to}: ${kind}`,
    );
  });
}
