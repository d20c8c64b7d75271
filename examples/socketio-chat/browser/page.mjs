// The page in a real browser, driven by TestPage, which says in the environment
// where it is (PAGE), which form of the example answers (FORM), and where pictures
// go (PICTURES, perhaps). What only the test can do is asked of it by a line on
// standard output, and done when a line comes back.

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
    const text = (selector) => Array.from(document.querySelectorAll(selector), (element) => element.textContent);
    const shown = (id) => document.getElementById(id).checkVisibility();
    return {
      state: text('#state')[0],
      inside: shown('talk') && !shown('enter'),
      said: text('#log li:not(.notice)').map((line) => line.replace(/\d?\d:\d\d( [AP]M)?$/, '')),
      mine: text('#log li.mine').length,
      notices: text('#log .notice'),
      people: text('#people li'),
      problem: shown('problem') ? text('#problem')[0] : '',
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

const said = (text) => (seen) => seen.said.filter((line) => line === text).length === 1;
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

async function join_(tab, name, room) {
  await tab.fill('#name', name);
  await tab.fill('#room', room);
  await tab.press('#room', 'Enter');
}

async function visit(browser, name, room) {
  const tab = await newPage(browser, process.env.PAGE);
  await sees(tab, 'connected', ({ state }) => state === 'connected');
  if (name === 'ann') await photograph(tab, 'enter');
  await join_(tab, name, room);
  await sees(tab, 'inside', ({ inside }) => inside);
  return tab;
}

async function say(tab, text) {
  await tab.fill('#text', text);
  await tab.press('#text', 'Enter');
}

async function photograph(tab, name) {
  if (!process.env.PICTURES) return;
  await tab.screenshot({ path: join(process.env.PICTURES, `socketio-chat-${process.env.FORM}-${name}.png`) });
}

const HOSTILE = '<img src=x onerror="window.PWNED=1">&amp; ann: x';

/** They talk: each line is seen once by each in the room, and by nobody else. */
async function talk(ann, bob, eve) {
  for (const tab of [ann, bob]) await sees(tab, 'all are online', ({ people }) => same(people, ['ann', 'Bób Ж', 'eve']));
  await say(ann, 'hello from ann');
  await sees(bob, 'it is heard', said('ann: hello from ann'));
  await say(bob, HOSTILE);
  for (const tab of [ann, bob]) {
    const seen = await sees(tab, 'both were heard', (seen) => seen.said.length === 2);
    assert.deepEqual([seen.said, seen.mine], [['ann: hello from ann', `Bób Ж: ${HOSTILE}`], 1]);
    assert.ok(seen.notices.includes('Bób Ж has connected') || tab !== ann, JSON.stringify(seen.notices));
  }
  await say(eve, 'nobody here?');
  await sees(eve, 'she hears herself', said('eve: nobody here?'));
  assert.equal((await look(eve)).said.length, 1);
  assert.equal((await look(bob)).said.length, 2);

  // Many lines at a time, from two sides: all of them, once, each side's in order.
  const lines = Array.from({ length: 20 }, (_, i) => `line ${i + 1}`);
  await Promise.all([ann, bob].map(async (tab) => {
    for (const line of lines) {
      await say(tab, line);
      await until(async () => (await tab.inputValue('#text')) === '', PATIENCE, 'it is said');
    }
  }));
  for (const tab of [ann, bob]) {
    const { said } = await sees(tab, 'all lines', (seen) => seen.said.length === 42);
    for (const who of ['ann', 'Bób Ж']) {
      assert.deepEqual(said.slice(2).filter((line) => line.startsWith(`${who}: `)), lines.map((line) => `${who}: ${line}`));
    }
  }
}

/** A name that is taken, and another room. */
async function choose(browser, ann) {
  const tab = await newPage(browser, process.env.PAGE);
  await sees(tab, 'connected', ({ state }) => state === 'connected');
  await join_(tab, 'ann', 'lobby');
  const seen = await sees(tab, 'refused', ({ problem }) => problem.includes('taken'));
  assert.ok(!seen.inside);
  await photograph(tab, 'taken');
  await join_(tab, 'Zoë', 'lobby');
  await sees(tab, 'inside', ({ inside, problem }) => inside && problem === '');
  await sees(ann, 'Zoë is there', ({ people }) => people.includes('Zoë'));
  await tab.click('#leave');
  await join_(tab, 'Zoë 2', 'attic');
  await sees(tab, 'in the attic', ({ inside }) => inside);
  await sees(ann, 'renamed', ({ people, notices }) => people.includes('Zoë 2') && notices.includes('Zoë is now known as Zoë 2'));
  await say(ann, 'not for the attic');
  await say(tab, 'not for the lobby');
  await sees(tab, 'said', said('Zoë 2: not for the lobby'));
  assert.ok(!(await look(tab)).said.includes('ann: not for the attic'));
  await tab.context().close();
  await sees(ann, 'she is gone', ({ people, notices }) => people.length === 3 && notices.includes('Zoë 2 has disconnected'));
}

/** One is offline for a moment, then everybody is. */
async function loseTheConnection(ann, bob) {
  await bob.context().setOffline(true);
  await sees(bob, 'cut off', ({ state }) => state === 'reconnecting' || state === 'error');
  await sees(ann, 'bob is gone', ({ people }) => !people.includes('Bób Ж'));
  await say(ann, 'bob, are you there?');
  await say(bob, 'said while offline');
  const waits = await sees(bob, 'refused for now', ({ problem }) => problem !== '');
  assert.ok(!waits.said.includes('Bób Ж: said while offline'));
  assert.equal(await bob.inputValue('#text'), 'said while offline');
  await photograph(bob, 'offline');
  await bob.context().setOffline(false);
  const back = await sees(bob, 'he hears what he has missed', (seen) => seen.state === 'connected' && said('ann: bob, are you there?')(seen));
  await sees(bob, 'nothing was missed', ({ notices, problem }) => notices.includes('Reconnected; nothing was missed.') && problem === '');
  assert.equal(back.said.filter((line) => line.endsWith(': line 20')).length, 2);
  await sees(ann, 'bob is back', ({ people }) => people.includes('Bób Ж'));
  await bob.press('#text', 'Enter');
  await sees(ann, 'what could not be said', said('Bób Ж: said while offline'));

  await please('tear');
  for (const tab of [ann, bob]) await sees(tab, 'cut off', ({ state }) => state === 'error' || state === 'reconnecting');
  await sees(ann, 'an error is shown', ({ state }) => state === 'error');
  await please('mend');
  for (const tab of [ann, bob]) await sees(tab, 'all are back', ({ state, people }) => state === 'connected' && people.length === 3);
  await say(ann, 'after the cut');
  await sees(bob, 'it is heard', said('ann: after the cut'));
}

/** Shaveet has forgotten everybody. */
async function loseTheServer(ann, bob, eve) {
  await please('restart');
  for (const tab of [ann, bob, eve]) {
    await sees(tab, 'all are back', ({ state, people }) => state === 'connected' && same(people, ['ann', 'Bób Ж', 'eve']));
    await sees(tab, 'that is said', ({ notices }) => notices.at(-1) === 'Reconnected.' || notices.includes('Reconnected.'));
  }
  await say(bob, 'after the restart');
  await sees(ann, 'it is heard', said('Bób Ж: after the restart'));
  assert.ok(!(await look(eve)).said.includes('Bób Ж: after the restart'));
}

/** The back end is away, and then another process. */
async function loseTheBackend(ann, bob) {
  await please('kill');
  await say(ann, 'is anybody there?');
  await sees(ann, 'nobody answers', ({ problem, state }) => problem !== '' && state === 'connected');
  assert.equal(await ann.inputValue('#text'), 'is anybody there?');
  await photograph(ann, 'outage');
  await please('back end');
  await ann.press('#text', 'Enter');
  await sees(bob, 'it is heard', said('ann: is anybody there?'));
  await sees(ann, 'no trouble any more', ({ problem }) => problem === '');
}

/** How it looks; and whoever was at the end is there still. */
async function pose(tab) {
  await photograph(tab, 'desktop');
  await tab.emulateMedia({ colorScheme: 'dark' });
  await photograph(tab, 'desktop-dark');
  await tab.setViewportSize({ width: 390, height: 800 });
  await until(() => tab.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById('log');
    return scrollHeight > clientHeight && scrollHeight - scrollTop - clientHeight < 2;
  }), PATIENCE, 'the last line on a phone');
  assert.ok(await tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is beside a phone');
  await photograph(tab, 'phone-dark');
  await tab.emulateMedia({ colorScheme: 'light' });
  await photograph(tab, 'phone');
  const nameless = await tab.evaluate(() =>
    Array.from(document.querySelectorAll('button, a, input, section, aside, [tabindex="0"]'))
      .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.getAttribute('aria-labelledby') || each.labels?.length))
      .map((each) => each.outerHTML.slice(0, 100)),
  );
  assert.deepEqual(nameless, []);
}

const browser = await launch();
try {
  const ann = await visit(browser, 'ann', 'lobby');
  const bob = await visit(browser, 'Bób Ж', 'lobby');
  const eve = await visit(browser, 'eve', 'attic');
  await talk(ann, bob, eve);
  await choose(browser, ann);
  await loseTheConnection(ann, bob);
  await loseTheServer(ann, bob, eve);
  if (process.env.FORM === 'python') await loseTheBackend(ann, bob);
  await pose(ann);
  for (const tab of [ann, bob, eve]) {
    assert.deepEqual(tab.errors, []);
    assert.equal(await tab.evaluate(() => window.PWNED), undefined);
    assert.equal(await tab.evaluate(() => document.querySelectorAll('img').length), 0);
  }
  console.log('done');
} finally {
  await browser.close();
}
process.exit(0);
