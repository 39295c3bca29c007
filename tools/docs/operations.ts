/** Every operation with its steps, as a page. */
import { TRANSITIONS } from '#domain/instance/transitions.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { page, table } from './markdown.ts';

export function operationsPage(): string {
  const sections = Object.values(OPERATIONS).map(({ kind, version, steps }) => {
    const rows = steps.map((step) => [
      `\`${step.name}\``,
      step.doc,
      step.task ?? '',
      step.undo ? 'taken back' : step.pointOfNoReturn ? 'point of no return' : 'nothing to take back',
    ]);
    return `## ${kind}\n\nVersion ${version}; ends in \`${[TRANSITIONS[kind].to].flat().join(' or ')}\`.\n\n${table(['step', 'does', 'task_state', 'after a failure'], rows)}`;
  });
  return page(
    'Operations',
    'src/operations/',
    `An operation is a list of steps. Each is journaled before it begins and after it ends, so that a crash at any moment
leads to the same outcome or to a complete undo.

${sections.join('\n\n')}`,
  );
}
