/** `micronova host`: the compute hosts, through the API as an administrator. */
import { CommandError } from './command-error.ts';
import { Drain, type Drained } from './drain.ts';
import { OpenStack } from './openstack.ts';
import { table } from './table.ts';

export interface HostOptions {
  readonly data: string;
}

interface Service {
  readonly id: string;
  readonly host: string;
  readonly zone: string;
  readonly status: 'enabled' | 'disabled';
  readonly state: 'up' | 'down';
  readonly disabled_reason: string | null;
  readonly forced_down: boolean;
}

interface Hypervisor {
  readonly hypervisor_hostname: string;
  readonly vcpus: number;
  readonly vcpus_used: number;
  readonly memory_mb: number;
  readonly memory_mb_used: number;
  readonly running_vms: number;
}

const COMPUTE = '/compute/v2.1';

export async function list(options: HostOptions): Promise<void> {
  const cloud = await connect(options);
  const services = await servicesOf(cloud);
  const { hypervisors } = (
    await cloud.request<{ hypervisors: Hypervisor[] }>('GET', `${COMPUTE}/os-hypervisors/detail`)
  ).body;
  const cells = services.map((service) => {
    const machine = hypervisors.find((each) => each.hypervisor_hostname === service.host);
    return [
      service.host,
      service.forced_down ? 'down (forced)' : service.state,
      service.status,
      service.zone,
      machine ? `${machine.vcpus_used}/${machine.vcpus}` : '-',
      machine ? `${machine.memory_mb_used}/${machine.memory_mb}` : '-',
      machine ? String(machine.running_vms) : '-',
      service.disabled_reason ?? '',
    ];
  });
  const headings = ['HOST', 'STATE', 'SERVICE', 'ZONE', 'VCPUS', 'MEMORY MiB', 'SERVERS', 'REASON'];
  process.stdout.write(table(headings, cells));
}

export async function disable(host: string, options: HostOptions & { readonly reason?: string }): Promise<void> {
  const { reason } = options;
  await change(options, host, { status: 'disabled', ...(reason !== undefined && { disabled_reason: reason }) });
  process.stdout.write(`host ${host} gets no new servers; those that it has stay\n`);
}

export async function enable(host: string, options: HostOptions): Promise<void> {
  await change(options, host, { status: 'enabled' });
  process.stdout.write(`host ${host} is in service\n`);
}

/** Only for a host that is really dead: what still runs there is not stopped by saying so. */
export async function down(host: string, options: HostOptions): Promise<void> {
  await change(options, host, { forced_down: true });
  process.stdout.write(`host ${host} counts as dead until 'micronova host up ${host}'; make sure that it is\n`);
}

export async function up(host: string, options: HostOptions): Promise<void> {
  await change(options, host, { forced_down: false });
  process.stdout.write(`host ${host} counts as its agent says\n`);
}

export async function drain(host: string, options: HostOptions & { readonly reason?: string }): Promise<void> {
  const cloud = await connect(options);
  const service = await known(cloud, host);
  // One that is out of service already keeps its reason.
  if (service.status === 'enabled') {
    const settings = { status: 'disabled', disabled_reason: options.reason ?? 'micronova host drain' };
    await cloud.request('PUT', `${COMPUTE}/os-services/${service.id}`, { json: settings });
  }
  const say = (line: string) => process.stdout.write(`${line}\n`);
  say(`host ${host} gets no new servers`);
  report(host, await new Drain(cloud, host, { say }).run(), say);
}

/** Throws `CommandError` where something is left. */
function report(host: string, { moved, left }: Drained, say: (line: string) => void): void {
  say(`${moved} moved, ${left.length} left`);
  if (left.length === 0) return;
  say(
    table(
      ['SERVER', 'NAME', 'WHY'],
      left.map(({ id, name, why }) => [id, name, why]),
    ).trimEnd(),
  );
  throw new CommandError(`host ${host} is not empty; 'micronova host drain ${host}' goes on where it stopped`);
}

async function change(options: HostOptions, host: string, settings: object): Promise<void> {
  const cloud = await connect(options);
  const { id } = await known(cloud, host);
  await cloud.request('PUT', `${COMPUTE}/os-services/${id}`, { json: settings });
}

function connect({ data }: HostOptions): Promise<OpenStack> {
  return OpenStack.connect(data, 'micronova-admin');
}

async function known(cloud: OpenStack, host: string): Promise<Service> {
  const services = await servicesOf(cloud);
  const service = services.find((each) => each.host === host);
  if (!service)
    throw new CommandError(`there is no host ${host}; there are: ${services.map((each) => each.host).join(', ')}`);
  return service;
}

async function servicesOf(cloud: OpenStack): Promise<Service[]> {
  return (await cloud.request<{ services: Service[] }>('GET', `${COMPUTE}/os-services?binary=nova-compute`)).body
    .services;
}
