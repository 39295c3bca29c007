/**
 * What systemd is told: that this process is ready, that it ends. Node has no datagram sockets of Unix, so `systemd-notify` says it;
 * the unit allows that by `NotifyAccess=all`.
 */
import { execFile } from 'node:child_process';

/** Resolves when it is said, and at once where nobody asked; one who cannot be told is no reason to end. */
export async function notify(...what: readonly string[]): Promise<void> {
  if (!process.env.NOTIFY_SOCKET) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  execFile('systemd-notify', [...what], (error) => {
    if (error) process.stderr.write(`systemd was not told: ${error.message.trim()}\n`);
    resolve();
  });
  return promise;
}
