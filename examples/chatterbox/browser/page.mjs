// The page of two web applications in a real browser, driven by TestChatterbox,
// which says in the environment where they are (A, B) and where pictures go
// (PICTURES, perhaps). What only the test can do is asked of it by a line on
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
    return {
      app: text('#app')[0],
      state: text('#state')[0],
      why: text('#why')[0],
      who: text('#log .who'),
      lines: text('#log .text'),
      from: text('#log .from'),
      mine: text('#log .mine .text'),
      notices: text('#log .notice'),
      problem: document.getElementById('problem').hidden ? '' : text('#problem')[0],
      again: !document.getElementById('again').hidden,
      field: document.getElementById('m').value,
    };
  });

async function sees(tab, what, is) {
  let seen;
  try {
    await until(async () => is((seen = await look(tab))), PATIENCE, what);
  } catch (error) {
    const brief = (_, value) => (typeof value === 'string' ? value.slice(0, 80) : value);
    throw new Error(`${error.message}: ${JSON.stringify({ ...seen, errors: tab.errors }, brief)}`);
  }
  return seen;
}

/** All that the page says of its connection from now on: words that are there for
 *  a moment are not missed. */
const watchState = (tab) =>
  tab.evaluate(() => {
    const states = [];
    new MutationObserver(() => states.push(document.getElementById('connection').textContent)).observe(document.getElementById('connection'), { childList: true, subtree: true });
    window.states = states;
  });

const isConnected = ({ state, why }) => state === 'Connected' && why === '';

async function say(tab, who, text) {
  await tab.fill('#u', who);
  await tab.fill('#m', text);
  await tab.press('#m', 'Enter');
}

/** On all pages it is seen, as the last line. */
async function comes(tabs, text) {
  for (const tab of tabs) await sees(tab, text, ({ lines }) => lines.at(-1) === text);
}

/** All have the same lines since this story began, in one order, and none twice. */
async function agree(...tabs) {
  const [first, ...others] = (await Promise.all(tabs.map(look))).map(({ lines }) => lines.slice(lines.indexOf('#1 hello from A')));
  for (const other of others) assert.deepEqual(other, first);
  const once = first.filter((text) => text.startsWith('#'));
  assert.deepEqual(once, [...new Set(once)], 'lines that come twice');
  return first;
}

async function photograph(tab, name) {
  if (process.env.PICTURES) await tab.screenshot({ path: join(process.env.PICTURES, `chatterbox-${name}.png`) });
}

const browser = await launch();
await please('begin');
try {
  // A page of each web application; what is said at one is heard at both.
  const a = await newPage(browser, process.env.A);
  const b = await newPage(browser, process.env.B);
  for (const tab of [a, b]) await sees(tab, 'connected', isConnected);
  assert.deepEqual([(await look(a)).app, (await look(b)).app], ['web app <A>', 'web app <B>']);
  await say(a, 'Ann', '#1 hello from A');
  await comes([a, b], '#1 hello from A');
  await say(b, 'Bob', '#2 hello from B');
  await comes([a, b], '#2 hello from B');
  let seen = await look(a);
  assert.deepEqual([seen.who.slice(-2), seen.mine, seen.field, seen.problem], [['Ann', 'Bob'], ['#1 hello from A'], '', '']);
  assert.match(seen.from.at(-1), /^<B> · /);

  // As fast as one can type: in order, also when the first is slow.
  const many = Array.from({ length: 5 }, (_, i) => `#3.${i}`);
  let typed;
  const all = new Promise((resolve) => (typed = resolve));
  await b.route('**/say', async (route) => {
    if (route.request().postDataJSON().m === many[0]) await all;
    await route.continue();
  });
  for (const text of many) await say(b, 'Bob', text);
  typed();
  await comes([a, b], many.at(-1));
  assert.deepEqual((await look(a)).lines.slice(-5), many);
  await b.unroute('**/say');

  // Text is text; and what is refused stays in the form, with the reason.
  const nasty = ['<script>document.title = "hacked"</script>', '<img src=x onerror="document.title=1">', '"><b id=log>', '{"u": 1}', '\u202eback to front', '😀'.repeat(20), 'x'.repeat(2000)];
  for (const text of nasty) {
    await say(a, text.slice(0, 40), text);
    await comes([a, b], text);
  }
  for (const tab of [a, b]) {
    assert.deepEqual(await tab.evaluate(() => [document.querySelectorAll('#log script, #log img, #log b, #log #log').length, document.title]), [0, 'Chatterbox – a Shaveet example']);
  }
  await say(a, 'Ann', 'with a bell \u0007');
  seen = await sees(a, 'refused', ({ problem }) => problem !== '');
  assert.deepEqual([seen.problem, seen.field], ['m: 1 to 2000 printable characters', 'with a bell \u0007']);
  await say(a, 'Ann', '#4 without one');
  await comes([a, b], '#4 without one');
  assert.equal((await look(a)).problem, '');
  await please('hostile');
  await comes([a, b], 'that was all');
  assert.ok(!(await agree(a, b)).some((text) => text.includes('hostile')));

  // The pages' connections break: they say so, and miss nothing.
  await Promise.all([a, b].map(watchState));
  await please('cut');
  for (const tab of [a, b]) {
    await sees(tab, 'an error', ({ state, why }) => state === 'Error' && why !== '');
    const states = await tab.evaluate(() => window.states);
    assert.match(states.join('\n'), /^Closed \(transport [a-z]+\)$[^]*^Closed \(try 1\)$[^]*^Error \([^)]+\)$/m);
  }
  await please('away');
  // The answer is lost, so the page does not know that the line was said.
  await a.route('**/say', (route) => route.fetch().then(() => route.abort()));
  await say(a, 'Ann', '#5 I do not hear myself');
  await sees(a, 'a problem', ({ problem, field }) => problem !== '' && field === '#5 I do not hear myself');
  await photograph(a, 'cut');
  await a.unroute('**/say');
  await a.press('#m', 'Enter');
  await sees(a, 'it is taken', ({ problem, field }) => problem === '' && field === '');
  await please('mend');
  await comes([a, b], '#5 I do not hear myself');
  for (const tab of [a, b]) {
    seen = await sees(tab, 'connected', isConnected);
    assert.deepEqual(seen.lines.slice(-3, -1), ['said meanwhile at A', 'said meanwhile at B']);
    assert.match(seen.notices.at(-1), /^Connected again after \d+ s, as the same socket$/);
  }
  await agree(a, b);

  // Shaveet is away, and comes back without its memory. What could not be said
  // is said at the second attempt, once; newcomers are told what was before.
  await please('stop');
  for (const tab of [a, b]) await sees(tab, 'an error', ({ state }) => state === 'Error');
  await say(b, 'Bob', '#6 is anybody there?');
  seen = await sees(b, 'a problem', ({ problem, field }) => problem !== '' && field !== '');
  assert.deepEqual([seen.problem, seen.field], ['nothing was said: the push server is away', '#6 is anybody there?']);
  await photograph(b, 'away');
  const late = await newPage(browser, process.env.B); // which cannot even load the client
  await sees(late, 'an error', ({ state }) => state === 'Error');
  await please('start');
  for (const tab of [a, b, late]) await sees(tab, 'connected', isConnected);
  assert.match((await look(a)).notices.at(-1), /, as a new socket$/);
  await until(async () => {
    if ((await look(b)).field !== '') await b.press('#m', 'Enter'); // until its web application is back too
    return (await look(b)).lines.at(-1) === '#6 is anybody there?';
  }, PATIENCE, 'the second attempt');
  await comes([a, b, late], '#6 is anybody there?');
  assert.deepEqual((await look(b)).problem, '');
  await agree(a, b, late);

  // A web application is away: its pages hear on, and cannot say anything. Who
  // comes when it is back is told what was said meanwhile.
  await please('kill');
  await say(b, 'Bob', '#7 where is A?');
  await comes([a, b], '#7 where is A?');
  await say(a, 'Ann', '#8 here');
  seen = await sees(a, 'a problem', ({ problem }) => problem !== '');
  assert.deepEqual([seen.problem, seen.field, seen.state], ['The web app does not answer. Try again.', '#8 here', 'Connected']);
  await please('run');
  await until(async () => {
    if ((await look(a)).field !== '') await a.press('#m', 'Enter');
    return (await look(a)).lines.at(-1) === '#8 here';
  }, PATIENCE, 'the second attempt');
  const newcomer = await newPage(browser, process.env.A);
  await sees(newcomer, 'connected', isConnected);
  await comes([b, late, newcomer], '#8 here');
  seen = await look(newcomer);
  assert.deepEqual((await agree(a, b, late)).slice(-seen.lines.length), seen.lines, 'what Shaveet keeps');
  assert.ok(seen.lines.includes('#7 where is A?'));

  // An operator sends them away: they come back when somebody wants it.
  await please('dismiss');
  seen = await sees(a, 'sent away', ({ again }) => again);
  assert.deepEqual([seen.state, seen.why], ['Closed', '(sent away)']);
  await photograph(a, 'dismissed');
  await a.click('#again');
  await sees(a, 'connected', (now) => isConnected(now) && !now.again);

  // On a phone, in the dark, by name.
  for (const [where, width, height] of [['desktop', 1024, 700], ['phone', 390, 700], ['narrow', 300, 520]]) {
    await a.setViewportSize({ width, height });
    await until(() => a.evaluate(() => document.querySelector('#log li:last-child').getBoundingClientRect().bottom <= document.getElementById('log').getBoundingClientRect().bottom), PATIENCE, `${where}: the newest is in sight`);
    assert.deepEqual(await a.evaluate(() => [document.documentElement.scrollWidth > innerWidth, document.documentElement.scrollHeight > innerHeight]), [false, false], where);
    for (const colorScheme of ['light', 'dark']) {
      await a.emulateMedia({ colorScheme });
      await photograph(a, `${where}-${colorScheme}`);
    }
  }
  const nameless = await a.evaluate(() => Array.from(document.querySelectorAll('button, input, ol')).filter((each) => !(each.ariaLabel || each.labels?.length || each.textContent.trim())).length);
  assert.equal(nameless, 0);
  for (const tab of [a, b, late, newcomer]) assert.deepEqual(tab.errors, []);
  console.log('done');
} finally {
  await browser.close();
}
process.exit(0);
