/** The projects that a shared image is offered to, and what they answered. */
import type { Queries } from '#db/database.ts';
import type { ImageMemberRow } from '#db/tables/image.ts';

/** Members of the image, oldest first. */
export async function listMembers(queries: Queries, imageId: string): Promise<ImageMemberRow[]> {
  return await queries
    .selectFrom('image_members')
    .selectAll()
    .where('image_id', '=', imageId)
    .orderBy('created_at')
    .orderBy('member_id')
    .execute();
}

/** The membership of one project, or null. */
export async function findMember(queries: Queries, imageId: string, memberId: string): Promise<ImageMemberRow | null> {
  const row = await queries
    .selectFrom('image_members')
    .selectAll()
    .where('image_id', '=', imageId)
    .where('member_id', '=', memberId)
    .executeTakeFirst();
  return row ?? null;
}

/** Throws the engine's unique violation when it is a member already. */
export async function insertMember(queries: Queries, member: ImageMemberRow): Promise<void> {
  await queries.insertInto('image_members').values(member).execute();
}

/** False when there is no such member. */
export async function setMemberStatus(
  queries: Queries,
  imageId: string,
  memberId: string,
  status: ImageMemberRow['status'],
  now: number,
): Promise<boolean> {
  const result = await queries
    .updateTable('image_members')
    .set({ status, updated_at: now })
    .where('image_id', '=', imageId)
    .where('member_id', '=', memberId)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False when there was no such member. */
export async function deleteMember(queries: Queries, imageId: string, memberId: string): Promise<boolean> {
  const result = await queries
    .deleteFrom('image_members')
    .where('image_id', '=', imageId)
    .where('member_id', '=', memberId)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}
