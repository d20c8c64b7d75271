// The pages in a real browser, driven by TestPage, which says in the environment
// where they are (PAGE) and where pictures go (PICTURES, perhaps). What only the
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

/** What somebody sees in a room; undefined while the page is not there yet. */
const look = (tab) =>
  tab.evaluate(() => {
    if (document.readyState === 'loading') return undefined;
    const text = (selector) => Array.from(document.querySelectorAll(selector), (element) => element.textContent);
    return {
      address: location.pathname,
      state: text('#state')[0] ?? '',
      said: text('#log li:not(.notice)').map((line) => line.replace(/\d?\d:\d\d( [AP]M)?$/, '')),
      notices: text('#log .notice'),
      here: text('#members li'),
      rooms: text('#rooms a'),
      problem: document.getElementById('problem')?.hidden === false ? text('#problem')[0] : '',
    };
  });

const sees = async (tab, what, is) => {
  let seen;
  try {
    await until(async () => {
      seen = await look(tab).catch((error) => {
        if (!/context was destroyed|navigation/.test(error.message)) throw error; // another page is on its way
      });
      return seen !== undefined && is(seen);
    }, PATIENCE, what);
  } catch (error) {
    throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
  }
  return seen;
};

const connected = (tab) => sees(tab, 'connected', ({ state }) => state === 'connected');

/** Through all three pages, as people go. */
async function visit(browser, name, room) {
  const tab = await newPage(browser, process.env.PAGE);
  if (name === 'ann') await photograph(tab, 'choose');
  await tab.fill('#name', name);
  await tab.press('#name', 'Enter');
  await tab.click(`#rooms a:has-text("${room}")`);
  await connected(tab);
  return tab;
}

/** Another tab of the same browser. */
async function another(tab, path) {
  const other = await tab.context().newPage();
  other.errors = [];
  other.on('pageerror', (error) => other.errors.push(String(error)));
  await other.goto(process.env.PAGE + path);
  await connected(other);
  return other;
}

async function say(tab, text) {
  await tab.fill('#text', text);
  await tab.press('#text', 'Enter');
}

async function photograph(tab, name) {
  if (process.env.PICTURES) await tab.screenshot({ path: join(process.env.PICTURES, `rooms-${name}.png`) });
}

const HOSTILE = '<img src=x onerror="window.PWNED=1">&amp; ann: x';
const has = (text) => (seen) => seen.said.includes(text);

const browser = await launch();
try {
  const ann = await visit(browser, 'ann', 'python');
  const bob = await visit(browser, 'Bób Ж', 'python');
  const eve = await visit(browser, 'eve', 'django');

  // Who is in the room is seen, and hears; who is in another does not.
  await sees(ann, 'two are here', ({ here }) => here.length === 2 && here.includes('Bób Ж'));
  await say(ann, 'hello from ann');
  await say(bob, HOSTILE);
  for (const tab of [ann, bob]) {
    const seen = await sees(tab, 'both were heard', ({ said }) => said.length === 2);
    assert.deepEqual(seen.said, ['ann: hello from ann', `Bób Ж: ${HOSTILE}`]);
  }
  assert.deepEqual((await look(eve)).said, []);

  // A name that is taken.
  const thief = await newPage(browser, `${process.env.PAGE}python/ann`);
  await sees(thief, 'refused', ({ problem }) => problem.includes('somebody else'));
  await thief.close();

  // In two rooms at once: the other one counts what is new there.
  await ann.click('#rooms a:has-text("django")');
  await sees(ann, 'in django', ({ address, state }) => address.endsWith('/django/ann') && state === 'connected');
  await ann.click('#rooms a:has-text("python")');
  await sees(ann, 'back in python, with its past', ({ said, state }) => said.length === 2 && state === 'connected');
  await say(eve, 'is this django?');
  await sees(ann, 'news of django', ({ rooms }) => rooms.some((room) => /django\s*1/.test(room)));
  assert.equal((await look(ann)).said.length, 2);
  assert.ok((await look(bob)).rooms.every((room) => !/1/.test(room)), 'bob is not in django');
  await photograph(ann, 'two-rooms');
  const second = await another(ann, 'django/ann');
  assert.deepEqual((await look(second)).said, ['eve: is this django?']);
  assert.equal((await look(bob)).here.length, 2, 'two tabs are one ann');

  // Many messages at a time, from two sides: all of them, once, in one order for all.
  const lines = Array.from({ length: 20 }, (_, i) => i + 1);
  await Promise.all([ann, bob].map(async (tab) => {
    for (const i of lines) await say(tab, `line ${i}`);
  }));
  for (const tab of [ann, bob]) await sees(tab, 'all lines', ({ said }) => said.length === 42);
  const order = (await look(ann)).said;
  assert.deepEqual((await look(bob)).said, order);
  for (const who of ['ann', 'Bób Ж']) {
    assert.deepEqual(order.slice(2).filter((line) => line.startsWith(`${who}: `)), lines.map((i) => `${who}: line ${i}`));
  }
  // Of these the next one sees the last 25.
  const late = await visit(browser, 'late', 'python');
  assert.deepEqual((await look(late)).said, order.slice(-25));
  await photograph(late, 'backlog');
  // Bob is in both rooms too, but has no tab for the other one.
  for (const room of ['django', 'python']) {
    await bob.click(`#rooms a:has-text("${room}")`);
    await sees(bob, `bob in ${room}`, ({ address, state }) => address.includes(`/${room}/`) && state === 'connected');
  }

  // The back end is another process now.
  await please('back end');
  await say(ann, 'new back end');
  for (const tab of [ann, bob, late]) await sees(tab, 'through another back end', has('ann: new back end'));

  // Shaveet is away. What could not be said stays in the field.
  await please('stop');
  for (const tab of [ann, bob, second]) await sees(tab, 'waiting', ({ state }) => state.startsWith('waiting'));
  await say(bob, 'are you there?');
  await sees(bob, 'refused for now', ({ problem }) => problem !== '');
  assert.equal(await bob.inputValue('#text'), 'are you there?');
  await photograph(bob, 'waiting');
  await say(late, 'nobody hears this');
  await sees(late, 'refused as well', ({ problem }) => problem !== '');
  await late.fill('#text', '');
  await please('start');
  await sees(late, 'no trouble any more', ({ problem, state }) => problem === '' && state === 'connected');
  await bob.press('#text', 'Enter');
  for (const tab of [ann, bob, late]) {
    const { said } = await sees(tab, 'back', (seen) => seen.state === 'connected' && has('Bób Ж: are you there?')(seen));
    assert.equal(said.filter((line) => line === 'Bób Ж: are you there?').length, 1);
    assert.equal(said.filter((line) => line === 'ann: new back end').length, 1);
  }
  await say(ann, 'all is well');
  for (const tab of [ann, bob, late]) {
    const seen = await sees(tab, 'live after the restart', has('ann: all is well'));
    assert.equal(seen.said.filter((line) => line === 'ann: all is well').length, 1);
  }
  await connected(second);
  await connected(eve);
  await say(eve, 'django too');
  await sees(second, 'django after the restart', has('eve: django too'));
  await sees(ann, 'news of django after the restart', ({ rooms }) => rooms.some((room) => /django\s*2/.test(room)));
  await sees(bob, 'news of django without a tab', ({ rooms }) => rooms.some((room) => /django\s*1/.test(room)));
  await sees(bob, 'no trouble any more', ({ problem }) => problem === '');
  for (const tab of [ann, bob]) await sees(tab, 'all three are back', ({ here }) => here.length === 3);

  await photograph(ann, 'desktop');
  await ann.emulateMedia({ colorScheme: 'dark' });
  await photograph(ann, 'desktop-dark');
  await ann.setViewportSize({ width: 390, height: 800 });
  await until(() => ann.evaluate(() => { // whoever was at the end is there still
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById('log');
    return scrollHeight - scrollTop - clientHeight < 2;
  }), PATIENCE, 'the last line on a phone');
  await photograph(ann, 'phone-dark');
  await ann.emulateMedia({ colorScheme: 'light' });
  await photograph(ann, 'phone');
  const list = await another(bob, 'python/Bób Ж');
  await list.goto(`${process.env.PAGE}Bób Ж`);
  await list.waitForSelector('#rooms a');
  await list.setViewportSize({ width: 390, height: 500 });
  await photograph(list, 'main');

  for (const tab of [ann, bob, eve, late, second, list]) {
    assert.deepEqual(tab.errors, []);
    assert.equal(await tab.evaluate(() => window.PWNED), undefined);
    assert.equal(await tab.evaluate(() => document.querySelectorAll('img').length), 0);
  }
  console.log('done');
} finally {
  await browser.close();
}
process.exit(0);
