// Both pages in a real browser, driven by TestPages, which says in the
// environment where they are (PAGE) and where pictures go (PICTURES, perhaps).
// What only the test can do is asked of it by a line on standard output, and done
// when a line comes back.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { launch, newPage, until } from '../../../client-js/test/browser/browser.mjs';

const PATIENCE = 40_000; // where all is well nobody waits for it
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function please(what) {
  console.log(what);
  const { done } = await answers.next();
  assert.ok(!done, `the test has ended before it did: ${what}`);
}

/** What somebody sees, of either page. */
const look = (tab) =>
  tab.evaluate(() => {
    const text = (selector) => Array.from(document.querySelectorAll(selector), (element) => element.innerText);
    const count = (id) => Number(text(`#${id}`)[0]);
    return {
      state: text('#state')[0],
      transport: text('#transport')[0],
      numbers: text('#lines .number').map(Number),
      tags: text('#lines .tag'),
      texts: text('#lines .text'),
      values: text('#values li:not(.hole)'),
      holes: text('li.hole'),
      hole: text('#hole')[0],
      heard: count('heard'),
      missing: count('missing'),
      announced: count('announced'),
      doubled: count('doubled'),
      dots: document.querySelectorAll('#chart circle').length,
      chart: document.getElementById('chart')?.getAttribute('aria-label'),
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

/** So many lines more than now. */
async function more(tab, lines) {
  const { heard } = await look(tab);
  return sees(tab, `${lines} more`, (seen) => seen.heard >= heard + lines);
}

const dense = (numbers) => numbers.every((number, i) => i === 0 || number === numbers[i - 1] + 1);

async function photograph(tab, name) {
  if (process.env.PICTURES) await tab.screenshot({ path: join(process.env.PICTURES, `${name}.png`), fullPage: true });
}

/** On a phone, and everywhere in the dark. */
async function photographAll(tab, name) {
  if (!process.env.PICTURES) return;
  for (const [where, width, height] of [
    ['desktop', 1280, 800],
    ['phone', 390, 844],
  ]) {
    await tab.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark']) {
      await tab.emulateMedia({ colorScheme });
      await more(tab, 1); // drawn anew
      await photograph(tab, `${name}-${where}-${colorScheme}`);
    }
    assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, `${where} scrolls sideways`);
  }
  await tab.setViewportSize({ width: 1280, height: 720 });
  await tab.emulateMedia({ colorScheme: 'light' });
}

const choose = async (tab, transport) => {
  await tab.check(`input[value="${transport}"]`);
  if (transport === 'automatic') return sees(tab, 'connected', ({ state }) => state.startsWith('connected by '));
  return sees(tab, `connected by ${transport}`, (seen) => seen.state === `connected by ${transport}` && seen.transport === transport);
};

const browser = await launch();
try {
  // Two pages by different transports hear the same, the later one from then on.
  const one = await newPage(browser, process.env.PAGE);
  await sees(one, 'the first page hears', ({ state, heard }) => state === 'connected by stream' && heard >= 2);
  const two = await newPage(browser, `${process.env.PAGE}#longpoll`);
  await sees(two, 'the second page hears', ({ state, heard }) => state === 'connected by longpoll' && heard >= 1);
  assert.ok((await look(two)).numbers[0] > (await look(one)).numbers[0]);
  assert.deepEqual([...new Set((await look(one)).texts)], ['Hello World']);

  // Every other transport, switched to while lines come, and none is lost.
  for (const transport of ['sse', 'websocket', 'jsonp', 'longpoll', 'automatic', 'stream']) {
    await choose(one, transport);
    const { tags } = await more(one, 1);
    if (transport !== 'automatic') assert.equal(tags.at(-1), transport);
  }
  // As fast as one can click, and as one pleases.
  for (let i = 0; i < 30; i++) await one.check(`input[value="${['websocket', 'jsonp', 'stream', 'sse', 'longpoll'][i % 5]}"]`);
  await choose(one, 'stream');
  let seen = await more(one, 2);
  assert.ok(dense(seen.numbers), `${seen.numbers}`);
  assert.deepEqual([seen.missing, seen.doubled, seen.numbers.length], [0, 0, seen.heard]);

  // A pause loses nothing either.
  await one.click('#pause');
  assert.equal((await look(one)).state, 'paused');
  const { heard } = await look(one);
  await more(two, 3);
  assert.equal((await look(one)).heard, heard);
  await one.click('#pause');
  seen = await sees(one, 'it catches up', (now) => now.heard >= heard + 3);
  assert.deepEqual([seen.missing, seen.doubled, dense(seen.numbers)], [0, 0, true]);
  await photographAll(one, 'lines');

  // What the page shows for a terminal works there.
  const commands = (await one.innerText('#commands')).split('\n');
  assert.equal(commands.length, 3);
  for (const command of commands) await please(`command ${JSON.stringify(command)}`);

  // The page of the random data.
  const chart = await newPage(browser, `${process.env.PAGE}websocket`);
  await sees(chart, 'values', ({ state, heard, dots }) => state === 'Connected' && heard >= 5 && dots >= 5);
  seen = await look(chart);
  for (const value of seen.values) assert.match(value, /^x \d+, y [1-5]$/);
  assert.match(seen.chart, /^y of the last \d+ values; now [1-5], at x \d+$/);
  await chart.click('#pause');
  seen = await look(chart);
  assert.equal(seen.state, 'Closed');
  await more(two, 2);
  await chart.click('#pause');
  seen = await sees(chart, 'it catches up', (now) => now.state === 'Connected' && now.heard >= seen.heard + 4);
  assert.deepEqual([seen.missing, seen.doubled], [0, 0]);

  // The producer cannot reach Shaveet for a while: a hole, and it is announced.
  await please('cut');
  seen = await sees(chart, 'a hole', ({ missing }) => missing > 0);
  assert.equal(seen.announced, seen.missing);
  assert.match(seen.hole, /^Missing: x \d+( to \d+)? \(\d+ could not be told to Shaveet\)$/);
  await more(chart, 10);
  await photographAll(chart, 'websocket');

  // Shaveet is away, and comes back without its memory.
  await please('stop');
  for (const tab of [one, two]) await sees(tab, 'it waits', ({ state }) => state.startsWith('waiting'));
  await sees(chart, 'an error', ({ state }) => state === 'Error');
  await photograph(one, 'lines-waiting');
  await photograph(chart, 'websocket-error');
  await please('start');
  for (const [tab, by] of [
    [one, 'connected by stream'],
    [two, 'connected by longpoll'],
    [chart, 'Connected'],
  ]) {
    const { heard, missing } = await look(tab);
    seen = await sees(tab, 'it goes on', (now) => now.state === by && now.heard >= heard + 2);
    // A page that is back before the producer is has missed nothing.
    assert.deepEqual([seen.announced, seen.doubled], [seen.missing, 0], JSON.stringify(seen));
    if (seen.missing > missing) assert.match(seen.hole, /Shaveet was restarted/);
  }
  await photograph(one, 'lines-hole');

  // The back end is another process, which counts from 1 again: the chart begins anew.
  await please('replace');
  const at = ({ chart }) => Number(/at x (\d+)$/.exec(chart)?.[1]);
  const old = at(await look(chart));
  seen = await sees(chart, 'a new producer', (now) => at(now) < old && now.dots >= 5);
  assert.match(seen.hole, /^A new producer, from x \d+$/);
  assert.equal(seen.holes[0], seen.hole);
  assert.ok(seen.dots <= at(seen), `${seen.dots} dots, the newest at x ${at(seen)}`);
  assert.ok(await chart.evaluate(() => Array.from(document.querySelectorAll('#chart circle')).every(({ cx }) => cx.baseVal.value < document.getElementById('chart').clientWidth)));
  assert.equal(await chart.evaluate(() => document.querySelectorAll('#chart rect').length), 0);
  await photograph(chart, 'websocket-replaced');

  for (const tab of [one, two, chart]) assert.deepEqual(tab.errors, []);
  console.log('done');
} finally {
  await browser.close();
}
process.exit(0);
