/** `os-getVNCConsole` and the like: how clients ask for a console until 2.5. */
import { Type } from 'typebox';
import { type Action, action } from '../servers/actions/action.ts';
import { consoleLink } from './link.ts';
import { consoleTypeInvalid, consoleTypeUnavailable } from './unavailable.ts';

const UNTIL = 5;
const strict = { additionalProperties: false };

const getVncConsole = action({
  doc: 'Answers a URL that shows the screen.',
  argument: Type.Object({ type: Type.Enum(['novnc', 'xvpvnc']) }, strict),
  until: UNTIL,
  handle: async (deps, request, row, { type }) => {
    if (type !== 'novnc') throw consoleTypeInvalid(type);
    return { status: 200, body: { console: { type, url: await consoleLink(deps, request, row, type) } } };
  },
});

const getSerialConsole = action({
  doc: 'Answers the URL of a WebSocket that is the serial line.',
  argument: Type.Object({ type: Type.Enum(['serial']) }, strict),
  until: UNTIL,
  handle: async (deps, request, row) => ({
    status: 200,
    body: { console: { type: 'serial', url: await consoleLink(deps, request, row, 'serial') } },
  }),
});

const unavailable = (type: string) =>
  action({
    doc: 'Refused: this cloud has no such console.',
    argument: Type.Object({ type: Type.Enum([type]) }, strict),
    until: UNTIL,
    handle: async () => {
      throw consoleTypeUnavailable(type);
    },
  });

export const consoleActions: Readonly<Record<string, Action>> = {
  'os-getVNCConsole': getVncConsole,
  'os-getSerialConsole': getSerialConsole,
  'os-getSPICEConsole': unavailable('spice-html5'),
  'os-getRDPConsole': unavailable('rdp-html5'),
};
