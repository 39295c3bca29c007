/**
 * Who may see and change which image: one place for all routes.
 *
 * Another project's private image does not exist for you (404); one that you may see but not change is 403. The role
 * `service` (Nova) acts for all projects: it makes snapshots in their name and reads what it must boot.
 */
import type { Queries } from '#db/database.ts';
import { findImage, type Image } from '#db/repo/image/images.ts';
import { findMember } from '#db/repo/image/members.ts';
import { CloudError } from '#domain/errors.ts';
import type { AuthContext } from '#http/auth.ts';

export type Caller = AuthContext & { readonly projectId: string };

/** Acts for every project. */
export function actsForAll(auth: AuthContext): boolean {
  return auth.isAdmin || auth.roles.includes('service');
}

/** Throws 403 for who may only read. */
export function requireWriter(auth: AuthContext, rule: string): void {
  if (!actsForAll(auth) && !auth.roles.includes('member')) throw new CloudError('policyForbids', { rule });
}

/** The image. Throws 404 when it does not exist or the caller may not see it. */
export async function visibleImage(queries: Queries, auth: Caller, id: string): Promise<Image> {
  const image = await findImage(queries, id);
  if (!image || !(await maySee(queries, auth, image))) throw new CloudError('imageNotFound', { id });
  return image;
}

/** The image, to change it. Throws 404 as `visibleImage`, and 403 for another project's image. */
export async function ownImage(queries: Queries, auth: Caller, id: string, rule: string): Promise<Image> {
  const image = await visibleImage(queries, auth, id);
  requireWriter(auth, rule);
  if (!actsForAll(auth) && image.owner !== auth.projectId)
    throw new CloudError('forbidden', {
      reason: `You are not permitted to modify image ${id}: it belongs to another project.`,
    });
  return image;
}

async function maySee(queries: Queries, auth: Caller, image: Image): Promise<boolean> {
  if (actsForAll(auth) || image.owner === auth.projectId) return true;
  if (image.visibility === 'public' || image.visibility === 'community') return true;
  return image.visibility === 'shared' && (await findMember(queries, image.id, auth.projectId)) !== null;
}

/** Throws 403 for a visibility that only an administrator may give. */
export function checkVisibilityChange(auth: AuthContext, visibility: string): void {
  if (visibility === 'public' && !auth.isAdmin) throw new CloudError('policyForbids', { rule: 'publicize_image' });
}
