/** Rescue and unrescue. */
import { Type } from 'typebox';
import { ADMIN_PASS, type RescueInput } from '#contracts/operation-inputs.ts';
import { accept, graceMsOf, isRunning } from '../accept.ts';
import { guestParts } from '../config-drive.ts';
import { usableImage } from '../create-request.ts';
import { newPassword } from '../new-server.ts';
import { type Action, action } from './action.ts';

const rescue = action({
  doc: 'Boots the server from another image, with its own disk as the second; answers the password.',
  argument: Type.Union([
    Type.Object(
      {
        adminPass: Type.Optional(Type.String({ maxLength: 255 })),
        rescue_image_ref: Type.Optional(Type.String({ format: 'uuid', maxLength: 36 })),
      },
      { additionalProperties: false },
    ),
    Type.Null(),
  ]),
  handle: async (deps, request, row, wanted) => {
    const adminPass = wanted?.adminPass ?? newPassword();
    const token = String(request.raw.headers['x-auth-token']);
    const image = await usableImage(deps, wanted?.rescue_image_ref ?? row.image_id, null, token);
    const input: RescueInput = {
      imageId: image.id,
      graceMs: graceMsOf(deps, row),
      wasRunning: isRunning(row),
      // Also where the server has none: the password must get there.
      configDrive: (await guestParts(deps.db.queries, row)).drive,
    };
    await accept(deps, request, row, { kind: 'rescue', input, secrets: { [ADMIN_PASS]: adminPass } });
    return { status: 200, body: { adminPass } };
  },
});

const unrescue = action({
  doc: 'Boots a rescued server from its own disk again.',
  argument: Type.Unknown(),
  handle: async (deps, request, row) => {
    await accept(deps, request, row, { kind: 'unrescue' });
    return {};
  },
});

export const rescueActions: Readonly<Record<string, Action>> = { rescue, unrescue };
