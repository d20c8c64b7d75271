// What is between a page and the program: the page finds what works, and stays with it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './browser.mjs';
import { Proxy } from './proxy.mjs';
import { connected, eventually, hears, notes, numbered, publish, start, visit } from './site.mjs';

let browser;

before(async () => (browser = await launch()));
after(() => browser?.close());

const ALL = ['websocket', 'sse', 'stream', 'longpoll', 'jsonp'];

/** Starts a site behind a proxy with this rule. */
async function behind(t, rule) {
  const site = await start(t);
  site.proxy = await Proxy.start(site.program.public);
  t.after(() => site.proxy.close());
  site.proxy.rule = rule;
  return site;
}

const transport = (tab) => tab.evaluate(() => c.transport);
const uses = (tab, name) => eventually(async () => (await transport(tab)) === name, `it reads by ${name}`);

/** By which transport a request is. */
const way = (path, query) => (query.includes('callback=') ? 'jsonp' : path.slice(1));

const CASES = [
  ['that lets the WebSocket begin and drops all its frames', { websocket: 'mute' }, 'sse'],
  ['that refuses to upgrade, with 400', { websocket: 400 }, 'sse'],
  ['that refuses to upgrade, with 502', { websocket: 502 }, 'sse'],
  ['that keeps events back', { websocket: 400, sse: 'hoard' }, 'stream'],
  ['that keeps back all that streams', { websocket: 400, sse: 'hoard', stream: 'hoard' }, 'longpoll'],
  ['that lets scripts pass, and nothing else', { websocket: 403, sse: 403, stream: 403, longpoll: 403 }, 'jsonp'],
];

describe('behind a proxy', { concurrency: true }, () => {
  for (const [what, rules, name] of CASES) {
    test(`${what}, a page reads by ${name}, and the next one at once`, async (t) => {
      const site = await behind(t, (path, query) => rules[way(path, query)] ?? 'pass');
      const tab = await visit(t, browser, site, `clientId: 'alice', key: key, resume: true`);
      assert.equal(await transport(tab), name);
      await publish(site.program, numbered(3));
      await hears(tab, numbered(3));

      const { paths } = site.proxy;
      const before = paths.length;
      await tab.reload();
      await connected(tab);
      await publish(site.program, numbered(3, 4));
      await hears(tab, numbered(6));
      assert.equal(await transport(tab), name);
      const path = name === 'jsonp' ? '/longpoll' : `/${name}`;
      assert.deepEqual([...new Set(paths.slice(before))], [path]);
      assert.deepEqual(await notes(tab, 'gap'), []);
      assert.deepEqual(tab.errors, []);
    });
  }

  test('that lets pass now this and now that, a page goes from one transport to the next and loses nothing', async (t) => {
    const site = await behind(t, () => 'pass');
    const tab = await visit(t, browser, site, `clientId: 'alice', key: key`);
    let said = 0;
    let done = false;
    const speaking = (async () => {
      while (!done) {
        await site.program.publish('room', ++said);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    for (const name of [...ALL, 'stream', 'websocket']) {
      site.proxy.rule = (path, query) => (way(path, query) === name ? 'pass' : 503);
      site.proxy.cut();
      await uses(tab, name);
    }
    done = true;
    await speaking;
    await hears(tab, numbered(said));
    assert.deepEqual(await notes(tab, 'gap'), []);
    assert.deepEqual(tab.errors, []);
  });
});
