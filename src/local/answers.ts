/** Whether somebody takes connections at a port. */
import { once } from 'node:events';
import { connect } from 'node:net';

export async function answers(port: number, address = '127.0.0.1'): Promise<boolean> {
  const socket = connect(port, address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
