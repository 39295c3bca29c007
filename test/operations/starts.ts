/** The states of servers in which operations are tried, and how a server gets there. */
import type { User } from '../client.ts';
import type { TestCloud } from '../cloud.ts';
import type { TestServer } from '../server.ts';

/** Brings a server of a cloud to where an operation begins. */
export type Start = (cloud: TestCloud) => Promise<TestServer>;

export const active: Start = (cloud) => cloud.server().active();

/** From active, by an action. */
export const by =
  (status: string, action: string, argument: unknown = null, user: User = 'demo'): Start =>
  async (cloud) => {
    const server = await active(cloud);
    await server.act(action, argument, user);
    await server.is(status);
    return server;
  };

export const stopped = by('SHUTOFF', 'os-stop');
export const paused = by('PAUSED', 'pause');
export const suspended = by('SUSPENDED', 'suspend');
export const rescued = by('RESCUE', 'rescue');
export const broken = by('ERROR', 'os-resetState', { state: 'error' }, 'admin');
export const shelved = by('SHELVED', 'shelve');
export const offloaded = by('SHELVED_OFFLOADED', 'shelve');
export const crashed: Start = async (cloud) => {
  const server = await active(cloud);
  await cloud.driver.exit(server.id, 'crashed');
  await server.is('SHUTOFF');
  return server;
};
export const deaf: Start = async (cloud) => {
  const server = await active(cloud);
  cloud.driver.setFault(server.id, { deaf: true });
  return server;
};
export const softDeleted: Start = async (cloud) => {
  const server = await active(cloud);
  await server.delete();
  await server.is('SOFT_DELETED');
  return server;
};
export const withAgent: Start = async (cloud) =>
  cloud.server({ image: await cloud.registerImage(undefined, { hw_qemu_guest_agent: 'yes' }) }).active();
/** With two backups; each has another name, so that it can be told which of them go. */
export const withBackups: Start = async (cloud) => {
  const server = await active(cloud);
  for (const name of ['backup-1', 'backup-2']) {
    const id = await server.act('createBackup', { name, backup_type: 'daily', rotation: 2 });
    await cloud.rested(id);
  }
  return server;
};
