// Both pages in a real browser, driven by TestPages, which says in the
// environment where they are (PAGE) and where pictures go (PICTURES, perhaps).
// What only the test can do is asked of it by a line on standard output, and
// done when a line comes back.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { launch, newPage, until } from '../../../client-js/test/browser/browser.mjs';

const PATIENCE = 60_000; // where all is well nobody waits for it
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function please(what) {
  console.log(what);
  const { done, value } = await answers.next();
  assert.ok(!done, `the test has ended before it did: ${what}`);
  return value;
}

/** How each page tells what it has drawn: points, with null for an end of the line. */
const kinds = {
  uplot: { path: '', state: '#state', well: /^connected by \w+$/, bad: /^reconnecting/, drawn: () => plot.data[0].map((x, i) => [x, plot.data[1][i]]) },
  flot: { path: 'flot', state: '#conn_status', well: /^Connected$/, bad: /^Error$/, drawn: () => $('#placeholder').data('plot')?.getData()[0].data ?? [] },
};

/** A profile whose pages note all points, as they come. */
async function noting(browser) {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    window.had = [];
    document.addEventListener('point', ({ detail }) => window.had.push([detail.x, detail.y]));
  });
  return context;
}

/** A page, and what it shows. */
async function open(browser, name) {
  const kind = kinds[name];
  const tab = await newPage({ newContext: () => noting(browser) }, process.env.PAGE + kind.path);
  const page = { name, tab, kind };
  const look = `({
    state: document.querySelector('${kind.state}').innerText,
    holes: Array.from(document.querySelectorAll('#holes li'), ({ dataset, innerText }) => ({ from: +dataset.from, to: +dataset.to, text: innerText })),
    news: document.getElementById('news').textContent,
    none: !document.getElementById('none').hidden,
    drawn: (${kind.drawn})(),
    had,
    last: had.at(-1)?.[0],
  })`;
  page.look = () => tab.evaluate(look);
  page.sees = async (what, is) => {
    let seen;
    try {
      await until(async () => is((seen = await page.look())), PATIENCE, what);
    } catch (error) {
      throw new Error(`${name}: ${error.message}: ${JSON.stringify({ ...seen, drawn: seen?.drawn.length, had: seen?.had.length })}`);
    }
    return seen;
  };
  return page;
}

/** All that pages have had, for the test to compare. */
async function tell(when, pages) {
  const all = {};
  for (const page of pages) {
    const { had, holes } = await page.look();
    all[page.name] = { points: had, holes: holes.reverse() };
  }
  console.log(`${when} ${JSON.stringify(all)}`);
}

const real = (drawn) => drawn.filter((point) => point?.[1] != null);

/** How colourful the graph is at some places in a hole, and last of all between points behind it: 0 is grey. null: the graph shows it no more. */
const colours = ({ from, to }) => {
  if (from < (window.uPlot ? plot.scales.x : $('#placeholder').data('plot').getXAxes()[0]).min) return null;
  const at = (x) => {
    let canvas, left, top, height;
    if (window.uPlot) {
      canvas = plot.ctx.canvas;
      left = plot.valToPos(x, 'x', true);
      ({ top, height } = plot.bbox);
    } else {
      const flot = $('#placeholder').data('plot');
      canvas = flot.getCanvas();
      const scale = canvas.width / canvas.clientWidth;
      left = flot.pointOffset({ x, y: 0 }).left * scale;
      top = flot.getPlotOffset().top * scale;
      height = flot.height() * scale;
    }
    const { data } = canvas.getContext('2d').getImageData(Math.round(left), Math.round(top) + 2, 1, Math.round(height) - 4);
    let most = 0;
    for (let i = 0; i < data.length; i += 4) {
      const rgb = data.slice(i, i + 3);
      if (data[i + 3] > 100) most = Math.max(most, Math.max(...rgb) - Math.min(...rgb));
    }
    return most;
  };
  return [0.1, 0.3, 0.5, 0.7, 0.9].map((part) => at(from + part * (to - from))).concat(Math.max(...[50, 450, 850, 1250].map((ms) => at(to + ms)))); // the sine may be all but 0 at one
};

async function photograph(page, name) {
  if (!process.env.PICTURES) return;
  const path = (what) => join(process.env.PICTURES, `${process.env.NAME}-${page.name}-${name}${what}.png`);
  await page.tab.screenshot({ path: path('') });
}

/** The newest hole is where it is said to be: the line ends before it and begins after it. */
async function inspect(page, seen) {
  const { from, to, text } = seen.holes[0];
  if (!seen.drawn.some((point) => point?.[0] === from)) return; // a page that was late has shown it, and a hundred points since
  assert.ok(seen.news.includes(text.slice(0, 8)), `${page.name}: announced is ${seen.news}, listed ${text}`);
  const at = seen.drawn.findIndex((point) => point?.[0] === from);
  assert.ok(seen.drawn[at + 1]?.[1] == null && seen.drawn[at + 2]?.[0] === to, `${page.name}: around the hole from ${from} to ${to}: ${JSON.stringify(seen.drawn.slice(at - 1, at + 4))}`);
  const found = await page.tab.evaluate(`(${colours})(${JSON.stringify({ from, to })})`);
  if (!found) return; // it has just gone
  assert.ok(found.pop() > 60, `${page.name}: no line is where one must be`);
  assert.deepEqual(found.filter((colour) => colour > 40), [], `${page.name}: something is drawn in the hole from ${from} to ${to}`);
}

const browser = await launch();
try {
  const pages = [await open(browser, 'uplot'), await open(browser, 'flot')];
  const all = (what, is) => Promise.all(pages.map((page) => page.sees(what, (seen) => is(seen, page))));
  const well = ({ state }, { kind }) => kind.well.test(state);
  const bad = ({ state }, { kind }) => kind.bad.test(state);
  const live = ({ last }) => last > Date.now() - 500;
  await all('is connected, with points', (seen, page) => well(seen, page) && seen.drawn.length >= 30);

  // The network is cut, and nothing is lost.
  await please('cut');
  await all('notices the cut', bad);
  await please('more');
  for (const page of pages) await photograph(page, 'cut');
  await please('mend');
  await all('has caught up', (seen, page) => well(seen, page) && live(seen) && seen.holes.length === 0);
  for (const page of pages) await photograph(page, 'live');
  await tell('before', pages);

  // The server is killed, and has nothing of before when it is back.
  await please('stop');
  await all('notices the end', bad);
  await please('more');
  await please('start');
  const restarted = await all('goes on with a hole', (seen, page) => well(seen, page) && live(seen) && seen.holes.length === 1);
  for (const seen of restarted) assert.match(seen.holes[0].text, /^\d\d:\d\d:\d\d\.\d – \d\d:\d\d:\d\d\.\d \d+ points are missing: the connection was lost$/);
  await please('more');
  for (const page of pages) {
    await inspect(page, await page.look());
    await photograph(page, 'hole');
  }

  // The producer cannot reach the server, and drops what it makes.
  await please('mute');
  await please('more');
  await please('unmute');
  const muted = await all('goes on with another hole', (seen, page) => well(seen, page) && live(seen) && seen.holes.length === 2);
  for (const seen of muted) assert.match(seen.holes[0].text, / \d+ points? (is|are) missing: none came$/);
  await please('more');
  for (const page of pages) {
    await inspect(page, await page.look());
    await photograph(page, 'holes');
    await page.tab.setViewportSize({ width: 390, height: 800 });
    await page.tab.emulateMedia({ colorScheme: 'dark' });
    await page.sees('is drawn anew', live);
    assert.ok(await page.tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${page.name} is wider than a phone`);
    await photograph(page, 'phone-dark');
    await page.tab.setViewportSize({ width: 1280, height: 720 });
    await page.sees('is drawn anew', live);
    await photograph(page, 'dark');
  }

  // The producer ends. What has come to the server comes to the pages, and a page
  // that opens now has it as well.
  const last = Number(await please('rest'));
  const shown = ({ drawn }) => real(drawn).at(-1)?.[0] === last;
  for (const seen of await all('has the last point', shown)) {
    const points = real(seen.drawn);
    assert.ok(points.length >= 98 && points.length <= 100, `${points.length} points are drawn`);
    assert.deepEqual(points, seen.had.slice(-points.length));
  }
  for (const name of Object.keys(kinds)) {
    const late = await open(browser, name);
    const seen = await late.sees('shows what was', (seen) => well(seen, late) && shown(seen));
    assert.ok(seen.had.length >= 40, `${name}: ${seen.had.length} points were kept`);
    assert.deepEqual(seen.had, (await pages[0].look()).had.slice(-seen.had.length));
    assert.deepEqual(late.tab.errors, []);
  }
  for (const page of pages) assert.deepEqual(page.tab.errors, []);
  await tell('after', pages);
} finally {
  await browser.close();
}
process.exit(0);
