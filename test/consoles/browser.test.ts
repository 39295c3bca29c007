/** Consoles of a real guest in a real browser: the pages as a person uses them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { eventually } from '../eventually.ts';
import { startBrowser } from './browser.ts';
import { type ConsoleWorld, consoleWorld, PASSWORD } from './console-world.ts';

const BOOT_MS = 240_000;

test('consoles in a browser', { timeout: 3 * BOOT_MS }, async (t) => {
  await using world = await consoleWorld();
  const browser = await startBrowser();
  try {
    await t.test('the serial page shows the login prompt, and takes what is typed', () => serialPage(world, browser));
    await t.test('the screen shows a picture, and what is typed on it reaches the guest', () =>
      screenPage(world, browser),
    );
    await t.test('a link that has expired says so', () => expiredPage(world, browser));
  } finally {
    await browser.close();
  }
});

/** A page at the address, and what the browser found wrong with it. */
async function openPage(browser: Browser, url: URL): Promise<{ page: Page; problems: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1024, height: 768 } });
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  await page.goto(String(url));
  return { page, problems };
}

async function serialPage({ link }: ConsoleWorld, browser: Browser): Promise<void> {
  const url = await link('serial');
  url.protocol = 'http:';
  const { page, problems } = await openPage(browser, url);
  const shown = () => page.locator('.xterm-rows').innerText();
  await page.getByText('Connected').waitFor();
  await eventually('the login prompt', async () => /login:/.test(await shown()), { withinMs: BOOT_MS, state: shown });
  await page.keyboard.type('root\n');
  await eventually('the password prompt', async () => /[Pp]assword:/.test(await shown()), { state: shown });
  await page.keyboard.type(`${PASSWORD}\n`);
  await eventually('a shell', async () => /# ?$/.test((await shown()).trimEnd()), { withinMs: 60_000, state: shown });
  await page.keyboard.type('expr 6000 + 7\n');
  await eventually('what the command says', async () => /6007/.test(await shown()), { state: shown });
  assert.deepEqual(problems, []);
  await page.close();
}

/** How many colours the canvas shows. */
const colours = (page: Page) =>
  page.evaluate(() => {
    // In the browser, whose types are none of ours.
    const { document } = globalThis as unknown as { document: { querySelector(selector: string): Canvas | null } };
    const canvas = document.querySelector('#screen canvas');
    if (!canvas || canvas.width === 0) return 0;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });

interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(kind: '2d'): {
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}

/** Keys to press for characters, where the character is not the name of one. */
const KEYS: Readonly<Record<string, string>> = {
  '\n': 'Enter',
  ' ': 'Space',
  '/': 'Slash',
  '>': 'Shift+Period',
  S: 'Shift+KeyS',
};

async function screenPage({ cloud, server, link }: ConsoleWorld, browser: Browser): Promise<void> {
  const { page, problems } = await openPage(browser, await link('novnc'));
  await page.getByText('Connected').waitFor();
  await eventually('a picture', async () => (await colours(page)) > 1, { withinMs: 60_000 });
  await page.locator('#screen canvas').click();
  const type = async (text: string) => {
    for (const character of text) await page.keyboard.press(KEYS[character] ?? character, { delay: 20 });
  };
  const client = await cloud.as('demo');
  const log = async () => {
    const path = `/compute/v2.1/servers/${server.id}/action`;
    return (await client.ok<{ output: string }>('POST', path, { json: { 'os-getConsoleOutput': {} } })).output;
  };
  // A prompt cannot be read off a picture: the guest says on its serial line how far it is.
  const loggedIn = async () => {
    await type('\nroot\n');
    await page.waitForTimeout(1_500);
    await type(`${PASSWORD}\n`);
    await page.waitForTimeout(1_500);
    return /root login on 'tty1'/.test(await log());
  };
  await eventually('a login on the screen', loggedIn, { withinMs: BOOT_MS, state: log });
  await type('echo typed on the screen >/dev/ttyS0\n');
  await eventually('what was typed, on the serial line', async () => /^typed on the screen/m.test(await log()), {
    withinMs: 60_000,
    state: log,
  });
  assert.deepEqual(problems, []);
  await page.close();
}

async function expiredPage({ cloud, link }: ConsoleWorld, browser: Browser): Promise<void> {
  for (const type of ['novnc', 'serial'] as const) {
    const url = await link(type);
    url.protocol = 'http:';
    await cloud.db.queries.updateTable('console_tokens').set({ expires_at: 1 }).execute();
    const { page } = await openPage(browser, url);
    await page.getByText('This link is not valid or has expired.').waitFor();
    await page.close();
  }
}
