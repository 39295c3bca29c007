/** The end of what the guest wrote to its serial console. */
import { Type } from 'typebox';
import { computeContract } from '#contracts/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Action, action } from './action.ts';

const MAX_CONSOLE_BYTES = 102_400;

const getConsoleOutput = action({
  doc: 'Answers the last lines of the serial console.',
  argument: Type.Object(
    {
      length: Type.Optional(
        Type.Union([Type.Integer({ minimum: -1 }), Type.String({ pattern: '^-?[0-9]{1,10}$' }), Type.Null()]),
      ),
    },
    { additionalProperties: false },
  ),
  handle: async (deps, _request, row, wanted) => {
    if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
    const agent = deps.rpc.client(computeContract, 'nova-api', row.host);
    const { output } = await agent.consoleOutput({ serverId: row.id, maxBytes: MAX_CONSOLE_BYTES });
    const lines = wanted.length === undefined || wanted.length === null ? -1 : Number(wanted.length);
    return { status: 200, body: { output: lines < 0 ? output : lastLines(output, lines) } };
  },
});

function lastLines(text: string, count: number): string {
  if (count === 0) return '';
  const lines = text.split('\n');
  const ended = lines.at(-1) === '' ? 1 : 0;
  return lines.slice(-(count + ended)).join('\n');
}

export const consoleOutputActions: Readonly<Record<string, Action>> = { 'os-getConsoleOutput': getConsoleOutput };
