// Drives Chromium for the Go test: reads orders, a JSON object on each line, and
// answers each with its id, as soon as it is done.

import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(new URL('../../client-js/package.json', import.meta.url))('playwright-core');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A port that is free now, and not one that systems give to whoever connects. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const free = await new Promise((resolve) => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}

const port = await freePort();
const launched = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    `--remote-debugging-port=${port}`,
  ],
});
// Playwright's own pages are always in front, and then none can be frozen.
// Those of a browser that it is told to leave as it is are like a user's tabs.
const browser = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
const [context] = browser.contexts();

/** By case and name. Each case has an address of its own, so they have nothing in common. */
const pages = new Map();
const ofCase = (name) => [...pages.values()].filter((page) => page.of === name);

/** Goes to an address until it is there: the network may be in the way. */
async function visit(page, url) {
  for (let tries = 20; ; tries--) {
    try {
      await page.goto(url);
      return;
    } catch (error) {
      if (tries === 0) throw error;
      await pause(100);
    }
  }
}

const lifecycle = ({ session }, state) => session.send('Page.setWebLifecycleState', { state });
const NETWORK = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
/** Only one page can be in front. */
let posing = Promise.resolve();

async function pose({ path, story }, { page }) {
  await page.evaluate((story) => show(story), story);
  await page.setViewportSize({ width: 900, height: 640 });
  await page.bringToFront();
  await page.screenshot({ path, fullPage: true });
}

/** What can be ordered: with the parameters, and the page that is named. */
const ORDERS = {
  async open({ case: of, page: name, url }) {
    const page = await context.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    const session = await context.newCDPSession(page);
    await session.send('Network.enable');
    pages.set(`${of} ${name}`, { of, page, url, errors, session });
    await visit(page, url);
  },
  reload: (_, { page, url }) => page.reload().catch(() => visit(page, url)).then(() => {}),
  // Returns when the page knows it: what it is asked for it answers all the same.
  async freeze(_, p) {
    await lifecycle(p, 'frozen');
    while (!(await p.page.evaluate(() => window.frozen))) await pause(30);
  },
  thaw: (_, p) => lifecycle(p, 'active'),
  front: (_, { page }) => page.bringToFront(),
  offline: ({ case: of, value: offline }) =>
    Promise.all(ofCase(of).map(({ session }) => session.send('Network.emulateNetworkConditions', { ...NETWORK, offline }))),
  hurry: (_, { page }) => page.evaluate(() => void dispatchEvent(new Event('online'))).catch(() => {}),
  // The page may be on its way to be loaded again.
  look: (_, { page }) => page.evaluate(() => window.look?.() ?? {}).catch(() => ({})),
  go: ({ transports, by }, { page }) => page.evaluate(([transports, by]) => go(transports, by), [transports, by]),
  take: async (_, { page, errors }) => ({ record: await page.evaluate(() => record), errors }),
  picture: (params, p) => (posing = posing.catch(() => {}).then(() => pose(params, p))),
  close: ({ case: of }) => Promise.all(ofCase(of).map(({ page }) => page.close())),
};

async function obey({ id, do: what, ...params }) {
  const page = pages.get(`${params.case} ${params.page}`);
  const answer = await Promise.resolve()
    .then(() => ORDERS[what](params, page))
    .then(
      (value) => ({ id, value }),
      (error) => ({ id, error: String(error) }),
    );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) obey(JSON.parse(line));
await browser.close();
await launched.close();
process.exit(0);
