/** Every operation there is, by kind. A kind without a definition does not compile. */
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Operation } from '#journal/define.ts';
import { launch } from './launch.ts';
import type { Ports } from './ports.ts';
import { snapshot } from './snapshot.ts';
import { terminate } from './terminate.ts';

export const OPERATIONS: Readonly<Record<OperationKind, Operation<Ports>>> = {
  create: launch,
  createImage: snapshot,
  delete: terminate,
};
