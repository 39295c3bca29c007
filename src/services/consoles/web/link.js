/** What both pages share: the WebSocket of this page's link, and words for how it went. */

/** The link's token is in the page's own address, or in `path`, which is the address of the WebSocket. */
function socketUrl() {
  const page = new URL(location.href);
  const path = page.searchParams.get('path');
  const token = path === null ? page.searchParams.get('token') : new URL(path, page).searchParams.get('token');
  const url = new URL('ws', page);
  url.search = new URLSearchParams({ token: token ?? '' }).toString();
  return url;
}

const status = document.getElementById('status');

export function say(words) {
  status.textContent = words;
}

/** Opens the WebSocket and says what becomes of it. */
export function openSocket() {
  const url = socketUrl();
  const address = new URL(url);
  address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address, ['binary']);
  socket.binaryType = 'arraybuffer';
  let wasOpen = false;
  socket.addEventListener('open', () => {
    wasOpen = true;
    say('Connected');
  });
  socket.addEventListener('close', async ({ reason }) => {
    say(wasOpen ? reason || 'The connection was lost.' : await refusal(url));
  });
  return socket;
}

/** Browsers hide why a WebSocket was refused; the same address asked without one says it. */
async function refusal(url) {
  try {
    const response = await fetch(url);
    if (response.status === 401) return 'This link is not valid or has expired. Ask for a new one.';
    const [fault] = Object.values(await response.json());
    return fault.message;
  } catch {
    return 'The cloud does not answer.';
  }
}
