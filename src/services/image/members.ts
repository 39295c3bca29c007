/**
 * Sharing: the owner of a `shared` image offers it to projects, each of which accepts or rejects.
 *
 * The owner sees all members; a member sees itself. Only the member may answer, only the owner may add and remove.
 */
import Type from 'typebox';
import type { Image } from '#db/repo/image/images.ts';
import { deleteMember, findMember, insertMember, listMembers, setMemberStatus } from '#db/repo/image/members.ts';
import { CloudError } from '#domain/errors.ts';
import { MEMBER_STATUSES } from '#domain/image/image.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import { actsForAll, type Caller, ownImage, requireWriter, visibleImage } from './access.ts';
import type { ImageContext } from './deps.ts';
import { memberView } from './view.ts';

const ADD_BODY = Type.Object({ member: Type.String({ minLength: 1, maxLength: 255 }) });
const ANSWER_BODY = Type.Object({
  status: Type.Unsafe<(typeof MEMBER_STATUSES)[number]>({ type: 'string', enum: MEMBER_STATUSES }),
});

export function memberRoutes({ database, now, limits }: ImageContext): readonly Route[] {
  const db = database.queries;

  return [
    route({
      method: 'GET',
      path: '/v2/images/:id/members',
      doc: 'Projects that the image is shared with; a member sees itself only.',
      access: { rule: 'get_members', role: 'any' },
      success: 200,
      async handle(request) {
        const who = caller(request);
        const image = await sharedImage(who, request);
        const members = await listMembers(db, image.id);
        const seen = isOwner(who, image) ? members : members.filter(({ member_id }) => member_id === who.projectId);
        return { body: { members: seen.map(memberView), schema: '/v2/schemas/members' } };
      },
    }),
    route({
      method: 'POST',
      path: '/v2/images/:id/members',
      doc: 'Offers the image to a project.',
      access: { rule: 'add_member', role: 'any' },
      body: ADD_BODY,
      success: 200,
      async handle(request) {
        const who = caller(request);
        const { id } = requireShared(await ownImage(db, who, request.params.id ?? '', 'add_member'));
        if ((await listMembers(db, id)).length >= limits.maxMembers)
          throw new CloudError('tooLarge', { reason: `an image may have ${limits.maxMembers} members` });
        const { member: member_id } = request.body;
        const at = now();
        const member = { image_id: id, member_id, status: 'pending' as const, created_at: at, updated_at: at };
        try {
          await insertMember(db, member);
        } catch (error) {
          if (!database.isUniqueViolation(error)) throw error;
          const reason = `Member ${member_id} is duplicated for image ${id}`;
          throw new CloudError('conflict', { reason }, { cause: error });
        }
        return { body: memberView(member) };
      },
    }),
    route({
      method: 'GET',
      path: '/v2/images/:id/members/:member',
      doc: 'One membership.',
      access: { rule: 'get_member', role: 'any' },
      success: 200,
      async handle(request) {
        const who = caller(request);
        const image = await sharedImage(who, request, 'imageNotFound');
        return { body: memberView(await seenMember(who, image, request)) };
      },
    }),
    route({
      method: 'PUT',
      path: '/v2/images/:id/members/:member',
      doc: 'The member accepts or rejects the image, or takes the answer back.',
      access: { rule: 'modify_member', role: 'any' },
      body: ANSWER_BODY,
      success: 200,
      async handle(request) {
        const who = caller(request);
        requireWriter(who, 'modify_member');
        const image = await sharedImage(who, request);
        const member = await seenMember(who, image, request);
        if (member.member_id !== who.projectId && !who.isAdmin)
          throw new CloudError('forbidden', {
            reason: "You are not permitted to modify 'status' on this image member.",
          });
        const at = now();
        const { status } = request.body;
        await setMemberStatus(db, image.id, member.member_id, status, at);
        return { body: memberView({ ...member, status, updated_at: at }) };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v2/images/:id/members/:member',
      doc: 'Takes the offer back.',
      access: { rule: 'delete_member', role: 'any' },
      success: 204,
      async handle(request) {
        const who = caller(request);
        const { id } = requireShared(await ownImage(db, who, request.params.id ?? '', 'delete_member'));
        const member = request.params.member ?? '';
        if (!(await deleteMember(db, id, member))) throw new CloudError('notFound', { what: 'Member', id: member });
        return {};
      },
    }),
  ];

  async function sharedImage(who: Caller, request: Addressed, otherwise?: 'imageNotFound'): Promise<Image> {
    const image = await visibleImage(db, who, request.params.id ?? '');
    if (otherwise && image.visibility !== 'shared') throw new CloudError(otherwise, { id: image.id });
    return requireShared(image);
  }

  async function seenMember(who: Caller, image: Image, request: Addressed) {
    const id = request.params.member ?? '';
    const member = isOwner(who, image) || id === who.projectId ? await findMember(db, image.id, id) : null;
    if (!member) throw new CloudError('notFound', { what: 'Member', id });
    return member;
  }
}

type Addressed = Pick<ServiceRequest, 'params'>;

function isOwner(who: Caller, image: Image): boolean {
  return actsForAll(who) || image.owner === who.projectId;
}

function requireShared(image: Image): Image {
  if (image.visibility !== 'shared') throw new CloudError('forbidden', { reason: 'Only shared images have members.' });
  return image;
}
