/** The serial line of a guest, in xterm. */
import { openSocket } from './link.js';
import { FitAddon } from './xterm/addon-fit.mjs';
import { Terminal } from './xterm/xterm.mjs';

const terminal = new Terminal({ cursorBlink: true, fontSize: 14, theme: { background: '#16181d' } });
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(document.getElementById('terminal'));
fit.fit();
addEventListener('resize', () => fit.fit());

const socket = openSocket();
const bytes = new TextEncoder();
const send = (data) => {
  if (socket.readyState === WebSocket.OPEN) socket.send(data);
};
terminal.onData((text) => send(bytes.encode(text)));
// What is no text: reports of the mouse.
terminal.onBinary((text) => send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
socket.addEventListener('message', ({ data }) => terminal.write(new Uint8Array(data)));
socket.addEventListener('open', () => terminal.focus());
