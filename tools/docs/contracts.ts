/** What crosses the bus, as a page. */
import { computeContract } from '#contracts/compute.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { CONTRACT_VERSION, type Contract, TIMEOUT_MS } from '#contracts/contract.ts';
import { schedulerContract } from '#contracts/scheduler.ts';
import { page, table } from './markdown.ts';

const CONTRACTS: readonly Contract[] = [conductorContract, schedulerContract, computeContract];

export function contractsPage(): string {
  const sections = CONTRACTS.map(({ role, methods }) => {
    const rows = Object.entries(methods).map(([name, method]) => [
      `\`${name}\``,
      method.kind,
      `${TIMEOUT_MS[method.timeout] / 1000} s`,
      fields(method.input),
      fields(method.output),
      method.doc,
    ]);
    return `## ${role}\n\n${table(['method', 'kind', 'patience', 'input', 'output', 'does'], rows)}`;
  });
  return page(
    'Messages',
    'src/contracts/',
    `Contract version ${CONTRACT_VERSION}. A \`call\` waits for its answer, a \`cast\` does not, a \`job\` reports progress until it
ends (its patience is for silence). Every message may come twice.

${sections.join('\n\n')}`,
  );
}

function fields(schema: object): string {
  const { properties } = schema as { properties?: Record<string, unknown> };
  return Object.keys(properties ?? {})
    .map((name) => `\`${name}\``)
    .join(', ');
}
