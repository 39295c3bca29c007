/** Deletion beyond `DELETE`: at once, and back again while it is soft. */
import { Type } from 'typebox';
import { accept } from '../accept.ts';
import { type Action, action } from './action.ts';

export const deletionActions: Readonly<Record<string, Action>> = {
  forceDelete: action({
    doc: 'Terminates a server for good, also one that is soft-deleted.',
    argument: Type.Unknown(),
    handle: async (deps, request, row) => {
      await accept(deps, request, row, { kind: 'forceDelete' });
      return {};
    },
  }),
  restore: action({
    doc: 'Brings a soft-deleted server back.',
    argument: Type.Unknown(),
    handle: async (deps, request, row) => {
      await accept(deps, request, row, { kind: 'restore' });
      return {};
    },
  }),
};
