// The page in a real browser, driven by TestPage, which says in the environment
// where it is (PAGE) and where pictures go (PICTURES, perhaps). What only the
// test can do is asked of it by a line on standard output, and done when a line
// comes back.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { launch, newPage, until } from '../../../client-js/test/browser/browser.mjs';

const PATIENCE = 30_000; // where all is well nobody waits for it
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function please(what) {
  console.log(what);
  const { done } = await answers.next();
  assert.ok(!done, `the test has ended before it did: ${what}`);
}

/** What somebody sees. */
const look = (tab) =>
  tab.evaluate(() => {
    const text = (selector) => Array.from(document.querySelectorAll(selector), (element) => element.innerText);
    return {
      state: text('#state')[0],
      unread: document.getElementById('unread').hidden ? 0 : Number(text('#unread')[0]),
      texts: text('#list .text'),
      fresh: text('#list .new .text'),
      from: text('#list .who'),
      outcome: text('#outcome')[0],
      problem: document.getElementById('problem').hidden ? '' : text('#problem')[0],
      title: document.title,
    };
  });

const sees = async (tab, what, is) => {
  let seen;
  try {
    await until(async () => is((seen = await look(tab))), PATIENCE, what);
  } catch (error) {
    throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
  }
  return seen;
};

async function login(browser, name) {
  const tab = await newPage(browser, process.env.PAGE);
  await tab.fill('#name', name);
  await tab.click('#login button');
  await sees(tab, `${name} is connected`, ({ state }) => state === 'connected');
  return tab;
}

/** Another tab of the same browser. */
async function another(tab) {
  const other = await tab.context().newPage();
  other.errors = [];
  other.on('pageerror', (error) => other.errors.push(String(error)));
  await other.goto(process.env.PAGE);
  await sees(other, 'the other tab is connected', ({ state }) => state === 'connected');
  return other;
}

/** Types as people do; without `to` it is for everybody. */
async function notify(tab, to, text) {
  await tab.setChecked('#everyone', to === undefined);
  if (to !== undefined) await tab.fill('#to', to);
  await tab.fill('#text', text);
  await tab.evaluate(() => document.getElementById('outcome').replaceChildren());
  await tab.press('#text', 'Enter');
  await sees(tab, `sent: ${text}`, ({ outcome }) => outcome !== '');
}

async function photograph(tab, name) {
  if (process.env.PICTURES) await tab.screenshot({ path: join(process.env.PICTURES, `${name}.png`) });
}

const HOSTILE = '<img src=x onerror="window.PWNED=1">&amp;';

const browser = await launch();
try {
  const shop = await login(browser, 'Shop');
  const name = 'Bob <img src=x>'; // may hold anything
  const bob = await login(browser, name);
  const second = await another(bob);

  // Live, in every tab of one user, and in nobody else's.
  await notify(shop, name, 'your order is on its way');
  for (const tab of [bob, second]) {
    const seen = await sees(tab, 'Bob is notified', ({ texts }) => texts.length === 1);
    assert.deepEqual([seen.texts, seen.from, seen.unread], [['your order is on its way'], ['Shop'], 1]);
    assert.match(seen.title, /^\(1\) /);
  }
  await notify(bob, undefined, `hello ${HOSTILE}`);
  for (const tab of [bob, second, shop]) await sees(tab, 'all are notified', ({ texts }) => texts[0] === `hello ${HOSTILE}`);
  assert.deepEqual((await look(shop)).texts, [`hello ${HOSTILE}`]);
  await notify(shop, name, 'it is at your door');
  await sees(bob, 'three unread', ({ unread }) => unread === 3);
  await photograph(bob, 'unread');
  await photograph(shop, 'sender');

  // Read in one tab, read in the other.
  await bob.click('#bell');
  for (const tab of [bob, second]) await sees(tab, 'nothing unread', ({ unread, fresh }) => unread === 0 && fresh.length === 0);
  await bob.reload();
  await sees(bob, 'the list after a reload', ({ texts, unread, state }) => texts.length === 3 && unread === 0 && state === 'connected');
  await notify(shop, name, 'did it fit?');
  for (const tab of [bob, second]) await sees(tab, 'live after a reload', ({ texts, unread }) => texts.length === 4 && unread === 1);

  // Somebody notifies while Shaveet is away; it comes when Shaveet does.
  await please('stop');
  await sees(bob, 'Bob waits', ({ state }) => state.startsWith('waiting'));
  await photograph(bob, 'waiting');
  await notify(shop, name, 'are you there?');
  assert.match((await look(shop)).outcome, /^Saved/);
  await please('start');
  for (const tab of [bob, second]) {
    await sees(tab, 'Bob is back', ({ state, texts }) => state === 'connected' && texts[0] === 'are you there?');
  }
  await notify(shop, name, 'good');
  for (const tab of [bob, second]) await sees(tab, 'live after a restart', ({ texts, unread }) => texts[0] === 'good' && unread === 3);

  // A new key.
  await please('rotate');
  await notify(shop, name, 'and again');
  for (const tab of [bob, second]) {
    await sees(tab, 'live with a new key', ({ texts, unread, state }) => texts[0] === 'and again' && unread === 4 && state === 'connected');
  }
  await bob.setViewportSize({ width: 390, height: 800 });
  await photograph(bob, 'phone');
  await bob.emulateMedia({ colorScheme: 'dark' });
  await photograph(bob, 'dark');

  // Whoever logs out in one tab is logged out in the other.
  await bob.click('#logout');
  for (const tab of [bob, second]) await tab.waitForSelector('#login:not([hidden])', { timeout: PATIENCE });
  await photograph(second, 'login');

  for (const tab of [shop, bob, second]) {
    assert.deepEqual(tab.errors, []);
    assert.equal(await tab.evaluate(() => window.PWNED), undefined);
    assert.equal(await tab.evaluate(() => document.querySelectorAll('img').length), 0);
  }
  console.log('done');
} finally {
  await browser.close();
}
process.exit(0);
