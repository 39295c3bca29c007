/** Change of the administrator's password in a running guest, through its agent. */
import { ADMIN_PASS, NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { agentOf } from './guest.ts';
import { defineOperation } from './ports.ts';

export const changePassword = defineOperation('changePassword', {
  version: VERSIONS.changePassword,
  input: NoInput,
}).step('setPassword', {
  doc: 'Has the guest’s agent set the password of root.',
  task: 'updating_password',
  do: async (context) => {
    const { serverId, secrets, key, signal } = context;
    const password = secrets[ADMIN_PASS] ?? '';
    await (await agentOf(context)).setPassword({ serverId, user: 'root', password }, { key, signal });
  },
});
