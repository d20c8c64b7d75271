// Runs pages with the stock clients in Chromium against a server. The argument is
// JSON, see DEFAULTS. What comes of each case is printed as a line of JSON.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { launch } from '../../client-js/test/browser/browser.mjs';
import { admin, everyNumber } from './kit.mjs';
import { Relay } from './relay.mjs';
import { inTime, pause } from './wire.mjs';

const DEFAULTS = {
  base: '', // where Socket.IO is
  admin: '', // where the admin API is
  open: '', // where the conformance server is
  eio3: true, // whether old clients are let in
  stock: false, // whether it is the stock server
  only: [''], // words of the cases' names, one for each
};
const options = { ...DEFAULTS, ...JSON.parse(process.argv[2]) };
const call = admin(options.admin);

/** What may take long on a busy machine. */
const PATIENCE = 60_000;

const local = (path) => readFileSync(new URL(path, import.meta.url));
const FILES = {
  '/site/': local('page/page.html'),
  '/site/page.js': local('page/page.js'),
  '/site/4.0.js': local('node_modules/socket.io-client-4.0/dist/socket.io.js'),
  '/site/2.js': local('node_modules/socket.io-client-2/dist/socket.io.js'),
  '/site/1.js': local('node_modules/socket.io-client-1/dist/socket.io.js'),
};

/** The site of the pages, which is not the server's. */
const site = createServer((request, response) => {
  const body = FILES[request.url];
  const type = request.url.endsWith('.js') ? 'text/javascript' : 'text/html';
  response.writeHead(body ? 200 : 404, { 'Content-Type': `${type}; charset=utf-8` }).end(body);
});
await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${site.address().port}`;
const browser = await launch();

/** Opens a page with a client of a version; what it does ends with it. */
class Tab {
  errors = [];

  static async open(version, url, about, transports) {
    const tab = new Tab();
    tab.context = await browser.newContext();
    tab.page = await tab.context.newPage();
    tab.page.on('pageerror', (error) => tab.errors.push(String(error)));
    const given = { reconnectionDelay: 50, reconnectionDelayMax: 300, ...transports };
    const old = ['1', '2'].includes(version);
    given[old ? 'query' : 'auth'] = about;
    // By requests and not by JSONP, they ask with cookies, which a server that
    // answers all sites does not allow: the page is the server's own then.
    const from = old && !transports.forceJSONP ? url : origin;
    const hash = encodeURIComponent(JSON.stringify({ script: version === '4.8' ? `${options.base}/socket.io/socket.io.js` : `${version}.js`, url, options: given }));
    // While JSONP polls, a page is never done with loading.
    await tab.page.goto(`${from}/site/#${hash}`, { waitUntil: 'domcontentloaded' });
    return tab;
  }

  /** Waits until it is so, and returns what the page says then. */
  async until(condition, what) {
    for (const end = Date.now() + PATIENCE; ; await pause(20)) {
      const { story, transport } = await this.page.evaluate(() => look());
      if (condition(story, transport)) return story;
      if (Date.now() > end) throw new Error(`not in time: ${what}; by ${transport}: ${JSON.stringify(story).slice(-2000)}`);
    }
  }

  async close() {
    await this.context.close();
    assert.deepEqual(this.errors, []);
  }
}

const times = (story, what) => story.filter(([name]) => name === what).length;
const numbersOf = (story) => story.filter(([name]) => name === 'number').map(([, n]) => n);

/** Publishes numbers from here to there. */
async function say(channel, from, to) {
  for (let n = from; n <= to; n++) await call('publish', { channel, data: n });
}

/** A page that is cut off hears what it has missed. */
const hears = (name, version, transports, cut) => async () => {
  const channel = `page: ${name}`;
  const key = await call('create_client', { client_id: channel });
  await call('subscribe', { client_id: channel, channel_name: channel });
  const relay = await Relay.start(options.base, { files: FILES });
  const tab = await Tab.open(version, relay.base, { client_id: channel, key }, transports);
  try {
    await tab.until((story) => times(story, 'connect') === 1, 'it connects');
    const last = transports.transports.at(-1);
    await say(channel, 1, 20);
    await tab.until((story, transport) => numbersOf(story).length === 20 && transport === last, `it hears, by ${last}`);
    await say(channel, 21, 40);
    const bytes = { $binary: Buffer.from([0, 1, 128, 255]).toString('base64') };
    await call('emit', { event: 'news', args: [bytes, 'after'], to: [channel] });
    const whole = await tab.until((story) => numbersOf(story).length === 40 && times(story, 'news') === 1, 'it hears all');
    assert.deepEqual(whole.at(-1).slice(0, 3), ['news', 'bytes 0,1,128,255', 'after']);
    everyNumber(numbersOf(whole), 1, 40);
    await cut(tab, relay, () => say(channel, 41, 60));
    const after = await tab.until((story) => times(story, 'connect') >= 2, 'it connects again');
    const [, now, recovered] = after.filter(([name]) => name === 'connect').at(-1);
    // It may have been cut off twice, and then who does not recover hears nothing yet.
    let said = 60;
    while (!(await tab.until(() => true, 'it can be looked at')).some(([name, n]) => name === 'number' && n > 60)) await say(channel, ++said, said);
    await say(channel, said + 1, said + 20);
    const end = await tab.until((story) => numbersOf(story).at(-1) === said + 20, 'it hears on');
    // A stock server may believe that the last answer to a poll has arrived, and the session lives.
    if (version !== '4.8' || (options.stock && !recovered)) return;
    assert.deepEqual([now, recovered], [after[0][1], true]);
    everyNumber(numbersOf(end), 1, said + 20);
  } finally {
    relay.close();
    await tab.close();
  }
};

/** The page is told that there is no network, and then that there is. */
async function offline(tab, relay, meanwhile) {
  await tab.context.setOffline(true);
  await tab.until((story) => times(story, 'disconnect') === 1, 'it is cut off');
  await meanwhile();
  await tab.context.setOffline(false);
}

/** The wire is cut. Between two polls there is none. */
async function wire(tab, relay, meanwhile) {
  const cutting = setInterval(() => relay.cut(), 10);
  await tab.until((story) => times(story, 'disconnect') >= 1, 'it is cut off').finally(() => clearInterval(cutting));
  await meanwhile();
}

/** A page asks, and is answered, with bytes both ways. */
const asks = (version, transports) => async () => {
  const relay = await Relay.start(options.open, { files: FILES });
  const tab = await Tab.open(version, relay.base, { a: 'b' }, transports);
  try {
    await tab.until((story) => times(story, 'connect') === 1, 'it connects');
    const text = version === '1' ? 'e' : 'é€😀\u2028\\n';
    assert.deepEqual(await tab.page.evaluate((text) => ask(1, text, { a: [null] }), text), [1, text, { a: [null] }]);
    const answer = await tab.page.evaluate(() => ask(new Uint8Array([0, 1, 128, 255]).buffer).then(([bytes]) => readable(bytes)));
    assert.equal(answer, 'bytes 0,1,128,255');
    const long = 'x'.repeat(100_000);
    assert.deepEqual(await tab.page.evaluate((text) => ask(text), long), [long]);
  } finally {
    relay.close();
    await tab.close();
  }
};

/** The scripts that pages load from the server. */
async function scripts() {
  for (const name of ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js']) {
    const url = `${options.base}/socket.io/${name}`;
    const response = await fetch(url);
    assert.equal(response.status, 200, name);
    assert.match(response.headers.get('content-type'), /^(application|text)\/javascript/);
    const etag = response.headers.get('etag');
    assert.ok((await response.text()).length > 10_000 && etag, name);
    const again = await fetch(url, { headers: { 'If-None-Match': etag } });
    assert.equal(again.status, 304, name);
  }
  const none = await fetch(`${options.base}/socket.io/socket.io.none.js`);
  assert.ok([400, 404].includes(none.status), `a script that is not there: ${none.status}`);
}

const WAYS = {
  polling: { transports: ['polling'] },
  websocket: { transports: ['websocket'] },
  upgrading: { transports: ['polling', 'websocket'] },
};
const OLD_WAYS = { ...WAYS, JSONP: { transports: ['polling'], forceJSONP: true } };

const cases = [['the scripts', scripts]];
for (const [version, ways] of [['4.8', WAYS], ['4.0', WAYS], ['2', OLD_WAYS], ['1', OLD_WAYS]]) {
  if (ways === OLD_WAYS && !options.eio3) continue;
  for (const [way, transports] of Object.entries(ways)) {
    const name = `${version}, ${way}`;
    const newest = version === '4.8';
    cases.push([`${name}: hears`, hears(name, version, transports, newest ? offline : wire)]);
    cases.push([`${name}: asks`, asks(version, transports)]);
  }
}

let failed = 0;
const left = cases.filter(([name]) => options.only.some((words) => name.includes(words)));
/** A few at once. */
const worker = async () => {
  for (let next = left.shift(); next; next = left.shift()) {
    const [name, play] = next;
    const begun = performance.now();
    let error;
    try {
      await inTime(play(), 'the whole case', 2 * PATIENCE);
    } catch (thrown) {
      error = thrown.stack;
      failed++;
    }
    console.log(JSON.stringify({ case: name, ms: Math.round(performance.now() - begun), error }));
  }
};
await Promise.all([worker(), worker(), worker(), worker()]);
await browser.close();
process.exit(failed ? 1 : 0);
