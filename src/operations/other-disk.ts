/** Before a guest gets another disk: the image comes while it runs, then it is shut off. What a rescue and a rebuild share. */
import type { RescueInput } from '#contracts/operation-inputs.ts';
import type { TaskState } from '#domain/instance/states.ts';
import type { Step } from '#journal/define.ts';
import { agentOf, startGuest, stopGuest } from './guest.ts';
import { HOURS, type Ports, shutdownDeadlineMs } from './ports.ts';

type DiskStep = Step<Ports, Pick<RescueInput, 'imageId' | 'graceMs' | 'wasRunning'>, object, void>;

export function fetchImage(task: TaskState): DiskStep {
  return {
    doc: 'Gets the image to the host while the guest still runs.',
    task,
    deadlineMs: HOURS,
    do: async (context) => {
      const { input, key, signal, onProgress } = context;
      await (await agentOf(context)).fetchImage({ imageId: input.imageId }, { key, signal, onProgress });
    },
  };
}

export const shutOff: DiskStep = {
  doc: 'Shuts the guest off.',
  deadlineMs: shutdownDeadlineMs,
  do: (context) => stopGuest(context, context.input.graceMs),
  undo: async (context) => {
    if (context.input.wasRunning) await startGuest(context);
  },
};
