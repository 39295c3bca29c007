/** The screen of a guest, by noVNC. */
import { openSocket } from './link.js';
import RFB from './novnc/core/rfb.js';

const rfb = new RFB(document.getElementById('screen'), openSocket());
rfb.scaleViewport = true;
rfb.addEventListener('connect', () => rfb.focus());

const resetKeys = document.getElementById('reset-keys');
resetKeys.hidden = false;
resetKeys.addEventListener('click', () => {
  rfb.sendCtrlAltDel();
  rfb.focus();
});
