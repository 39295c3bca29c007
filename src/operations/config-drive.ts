/** The password in a config drive: a secret of the operation, put in only on the way to the host. */
import type { ConfigDrive } from '#contracts/guest.ts';
import { ADMIN_PASS } from '#contracts/operation-inputs.ts';

/** The place in the drive where the password goes. */
const META_DATA = 'openstack/latest/meta_data.json';

/** The files with the password of the operation, if it has one. */
export function withPassword<Files extends ConfigDrive | null>(
  files: Files,
  secrets: Readonly<Record<string, string>>,
): Files {
  const metaData = files?.[META_DATA];
  const password = secrets[ADMIN_PASS];
  if (!files || typeof metaData !== 'string' || password === undefined) return files;
  return { ...files, [META_DATA]: JSON.stringify({ ...JSON.parse(metaData), admin_pass: password }) };
}
