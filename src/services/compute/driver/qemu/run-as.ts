/** The account under which QEMU and its tools run. */

/** Somebody other than Micronova, which is root then. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** The words that make a program run as this user. */
export function asUser({ uid, gid }: RunAs): string[] {
  // With the user's own groups, for /dev/kvm. Not QEMU's own -runas: its seccomp filter (elevateprivileges=deny) kills it for that.
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--no-new-privs'];
}
