/** What is measured and traced of a command to a hypervisor that has just been answered. */
import { currentContext } from './context.ts';
import type { Telemetry } from './telemetry.ts';

export interface Command {
  readonly instanceId: string;
  readonly command: string;
  readonly ms: number;
  readonly failed: boolean;
}

export function observeCommand({ meter, tracer }: Telemetry, { instanceId, command, ms, failed }: Command): void {
  const outcome = failed ? 'failed' : 'ok';
  meter.observe('micronova_hypervisor_command_duration_seconds', { command, outcome }, ms / 1000);
  const context = currentContext();
  // A question is asked again and again until a job has ended, which may take hours.
  if (!context?.traceparent || (!failed && command.startsWith('query-'))) return;
  const span = tracer.begin(command, {
    service: 'nova-compute',
    kind: 'client',
    beganAt: Date.now() - ms,
    attributes: { 'rpc.system': 'qmp', 'rpc.method': command, 'micronova.instance_id': instanceId },
  });
  span.end(failed ? { error: 'hypervisorFailed' } : {});
}
