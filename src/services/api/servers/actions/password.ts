/** Change of the password in a running guest. */
import { Type } from 'typebox';
import { ADMIN_PASS } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import { hasGuestAgent } from '#domain/instance/instance.ts';
import { accept, imagePropertiesOf } from '../accept.ts';
import { type Action, action } from './action.ts';

const changePassword = action({
  doc: 'Sets the password of root in the guest, where that has an agent.',
  argument: Type.Object({ adminPass: Type.String({ minLength: 1, maxLength: 255 }) }, { additionalProperties: false }),
  handle: async (deps, request, row, { adminPass }) => {
    if (!hasGuestAgent(imagePropertiesOf(row))) {
      throw new CloudError('conflict', {
        reason: `QEMU guest agent is not enabled: instance ${row.id} needs an image with an agent and the property hw_qemu_guest_agent=yes.`,
      });
    }
    await accept(deps, request, row, { kind: 'changePassword', secrets: { [ADMIN_PASS]: adminPass } });
    return {};
  },
});

export const passwordActions: Readonly<Record<string, Action>> = { changePassword };
