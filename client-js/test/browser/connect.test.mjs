// Connections of real pages to the real program.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, newPage, SCRIPT } from './browser.mjs';
import { Proxy } from './proxy.mjs';
import { connected, eventually, hears, notes, numbered, publish, start, texts, visit as open } from './site.mjs';

let browser;

before(async () => (browser = await launch()));
after(() => browser?.close());

const visit = (t, site, options) => open(t, browser, site, options);

/** What each transport asks, and as what the browser counts it. */
const TRANSPORTS = {
  websocket: ['/websocket', 'websocket'],
  sse: ['/sse', 'eventsource'],
  stream: ['/stream', 'fetch'],
  longpoll: ['/longpoll', 'fetch'],
  jsonp: ['/longpoll', 'script'],
};

/** These go through all there is. The others differ from them in how they are read, and in nothing else. */
const THOROUGH = ['websocket', 'longpoll'];

for (const [way, [path, type]] of Object.entries(TRANSPORTS)) {
  // An EventSource cannot tell what the server says to who comes in vain.
  const more = `, transports: ['${way}'${way === 'sse' ? ", 'longpoll'" : ''}]`;
  describe(`by ${way}`, { concurrency: 4 }, () => {
    test('a page hears what is said, with all there is to know of it', async (t) => {
      const site = await start(t);
      const { program } = site;
      const tab = await visit(t, site, `clientId: 'alice', key: key${more}`);
      const began = Date.now();
      await program.publish('room', { text: 'שלום </script>\u2028' }, 'bob');
      await program.publish('room', 'second', 'bob');
      await eventually(async () => (await texts(tab)).length === 2, 'two messages');
      const [first, second] = await notes(tab, 'message');
      const { pos, time, ...rest } = first;
      assert.deepEqual(rest, { channel: 'room', id: 2, sender: 'bob', data: { text: 'שלום </script>\u2028' } });
      assert.match(pos, /^[0-9a-f]{16}\.\d+$/);
      assert.ok(Math.abs(time - began) < 60_000);
      assert.equal(second.id, 3);
      assert.deepEqual(
        (await notes(tab, 'presence')).map(({ channel, joined, id }) => [channel, joined, id]),
        [['room', 'alice', 1]],
      );
      assert.deepEqual(await notes(tab, 'gap'), []);
      assert.deepEqual(
        (await notes(tab, 'state')).map(({ name }) => name),
        ['connected'],
      );

      assert.equal(await tab.evaluate(() => c.transport), way);
      const asked = tab.requests.filter((request) => new URL(request.url()).pathname === path);
      assert.ok(asked.length >= 1);
      for (const request of asked) {
        assert.equal(request.resourceType(), type);
        // No preflight, and the key in an address only where there is no other place.
        if (type === 'fetch') assert.equal(request.method(), 'POST');
        assert.equal(new URL(request.url()).search !== '', ['sse', 'jsonp'].includes(way));
      }
      assert.deepEqual(tab.errors, []);
    });

    test('a page that is loaded again and again loses nothing and hears nothing twice', async (t) => {
      const site = await start(t);
      const tab = await visit(t, site, `clientId: 'alice', key: key, resume: true${more}`);
      const all = numbered(100);
      let done = false;
      const speaking = publish(site.program, all).finally(() => (done = true));
      let loads = 0;
      while (!done || loads < 5) {
        await tab.reload();
        loads++;
      }
      await speaking;
      await connected(tab);
      await hears(tab, all);
      // Whatever were to come twice would have come before this.
      await site.program.publish('room', 'end');
      await hears(tab, [...all, 'end']);
      assert.deepEqual(await notes(tab, 'gap'), []);
      assert.deepEqual(tab.errors, []);
    });

    test('a server that is killed and started again: the page is told of the hole, and goes on', async (t) => {
      const site = await start(t);
      const tab = await visit(t, site, `clientId: 'alice', key: key${more}`);
      await site.program.publish('room', 'before');
      await hears(tab, ['before']);
      const [{ pos }] = await notes(tab, 'message');
      await site.program.end('SIGKILL');
      await eventually(() => tab.evaluate(() => c.state.name === 'waiting'), 'the page has noticed');
      await site.program.start();
      // It has forgotten the client, so the page asks its backend for a key first.
      await eventually(async () => (await notes(tab, 'gap')).length > 0, 'a gap');
      await connected(tab);
      const gaps = await notes(tab, 'gap');
      assert.deepEqual(
        gaps.map(({ channel, reason }) => [channel, reason]),
        [['room', 'reset']],
      );
      assert.equal(gaps[0].from.slice(0, 16), pos.slice(0, 16));
      assert.notEqual(gaps[0].to.slice(0, 16), pos.slice(0, 16));
      // An EventSource cannot tell, and if the other way was tried while nobody was there, none has.
      if (way !== 'sse') assert.deepEqual(await notes(tab, 'gone'), ['alice']);
      await site.program.publish('room', 'after');
      await hears(tab, ['before', 'after']);
      assert.deepEqual(tab.errors, []);
    });

    if (!THOROUGH.includes(way)) return;

    test('a server that is told to end sends the page away, and hears of it when it is back', async (t) => {
      // Long enough for a page between two polls to come back in before the doors shut.
      const site = await start(t, '--drain-delay', '2s', '--retry-time', '500ms');
      const tab = await visit(t, site, `clientId: 'alice', key: key${more}`);
      const { code, output } = await site.program.end('SIGTERM');
      assert.equal(code, 0, output);
      await eventually(async () => (await notes(tab, 'state')).length > 1, 'the page has noticed');
      const [, waiting] = await notes(tab, 'state');
      assert.equal(waiting.name, 'waiting');
      assert.equal(waiting.why, 'drain');
      await site.program.start();
      await eventually(async () => (await notes(tab, 'gone')).length > 0, 'the page is back');
      await connected(tab);
      await site.program.publish('room', 'after');
      await hears(tab, ['after']);
    });

    test('two pages each hear all', async (t) => {
      const site = await start(t);
      const options = `clientId: 'alice', key: key, resume: true${more}`;
      const tabs = [await visit(t, site, options), await visit(t, site, options)];
      await publish(site.program, numbered(20));
      for (const tab of tabs) await hears(tab, numbered(20));
    });

    test('a page and its copy each hear all', async (t) => {
      const site = await start(t);
      const tab = await visit(t, site, `clientId: 'alice', key: key, resume: true${more}`);
      await publish(site.program, numbered(5));
      await hears(tab, numbered(5));
      const name = () => Object.values(sessionStorage).find((text) => text.includes('cursor'));
      const session = JSON.parse(await tab.evaluate(name)).session;

      const opened = tab.context().waitForEvent('page');
      await tab.evaluate(() => void open(location.href)); // with a copy of its sessionStorage
      const copy = await opened;
      await copy.waitForFunction(() => window.c && c.state.name === 'connected');
      assert.deepEqual((await texts(copy)).slice(0, 5), numbered(5), 'a copy of what was noted');
      const kept = async (page) => JSON.parse(await page.evaluate(name)).session;
      await eventually(async () => (await kept(tab)) !== (await kept(copy)), 'each has a name of its own');
      assert.ok([await kept(tab), await kept(copy)].includes(session));

      await publish(site.program, numbered(20, 6));
      for (const page of [tab, copy]) {
        await hears(page, numbered(25));
        assert.deepEqual(await notes(page, 'gap'), []);
        await connected(page);
      }
    });

    test('a key that was changed is asked for again, and nothing is lost', async (t) => {
      const site = await start(t);
      const tab = await visit(t, site, `clientId: 'alice', key: key${more}`);
      await site.program.publish('room', 1);
      await hears(tab, [1]);
      await site.program.call('rotate_key', 'alice');
      await site.program.publish('room', 2);
      await eventually(async () => (await notes(tab, 'gone')).length > 0, 'the page is told');
      await connected(tab);
      await site.program.publish('room', 3);
      await hears(tab, [1, 2, 3]);
      assert.equal(site.keys, 2);
      assert.deepEqual(await notes(tab, 'gap'), []);
    });

    test('a client that is killed ends a page with a constant key', async (t) => {
      const site = await start(t);
      const tab = await visit(t, site, `clientId: 'alice', key: '${await site.enter()}'${more}`);
      await site.program.call('kill_client', 'alice');
      await eventually(() => tab.evaluate(() => c.state.name === 'closed'), 'closed');
      assert.deepEqual(await tab.evaluate(() => c.state), { name: 'closed', why: 'gone' });
      assert.deepEqual(await notes(tab, 'gone'), ['alice']);
      await eventually(async () => (await site.program.held()) === 0, 'no poll is held');
    });

    test('a network that is cut: what was said meanwhile comes when it is back', async (t) => {
      const site = await start(t, '--channel-messages', '5');
      const proxy = await Proxy.start(site.program.public);
      t.after(() => proxy.close());
      site.proxy = proxy;
      const tab = await visit(t, site, `clientId: 'alice', key: key${more}`);
      const cut = async () => {
        // The browser leaves alone what is under way.
        await tab.context().setOffline(true);
        proxy.cut();
        await eventually(() => tab.evaluate(() => c.state.why === 'offline'), 'the page has noticed');
      };
      await cut();
      await publish(site.program, numbered(5));
      await tab.context().setOffline(false);
      await hears(tab, numbered(5));
      assert.deepEqual(await notes(tab, 'gap'), []);

      await cut();
      await publish(site.program, numbered(8, 6));
      await tab.context().setOffline(false);
      await hears(tab, [...numbered(5), ...numbered(5, 9)]);
      assert.deepEqual(
        (await notes(tab, 'gap')).map(({ channel, reason }) => [channel, reason]),
        [['room', 'count']],
      );
    });
  });
}

test('a page that is put away and comes back as it was goes on at once', async (t) => {
  const keeping = await launch({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  t.after(() => keeping.close());
  const site = await start(t);
  site.script = `var c = Shaveet.connect({ clientId: 'alice', key: key });
    addEventListener('pageshow', function (event) { if (event.persisted) note('shown', c.state.name); });`;
  const tab = await newPage(keeping, `${site.origin}/`);
  await connected(tab);
  await tab.evaluate(() => (window.mark = 1));
  await tab.goto('data:text/html,elsewhere');
  await publish(site.program, [1, 2]);
  await tab.goBack({ waitUntil: 'commit' }); // a page that comes back as it was does not load
  assert.equal(await tab.evaluate(() => window.mark), 1, 'the page is the same');
  await hears(tab, [1, 2]);
  assert.deepEqual(await notes(tab, 'gap'), []);
  const why = (await notes(tab, 'state')).flatMap((state) => state.why ?? []);
  assert.deepEqual(why, ['hidden']);
});

test('the module connects too', async (t) => {
  const site = await start(t);
  site.script = `var c = { state: {}, on: hold, onGap: hold, onPresence: hold, onGone: hold, onState: hold };
    function hold() {}
    import('${site.program.public}/static/shaveet.mjs').then(function (shaveet) {
      c = shaveet.connect({ url: '${site.program.public}', clientId: 'alice', key: key });
      c.on('room', function (m) { note('message', m); });
    });`;
  const tab = await newPage(browser, `${site.origin}/`);
  t.after(() => tab.context().close());
  await connected(tab);
  await site.program.publish('room', 'hello');
  await hears(tab, ['hello']);
});

test('the program hands out the script that was built', async (t) => {
  const site = await start(t);
  const answer = await fetch(`${site.program.public}/static/shaveet.js`);
  assert.equal(await answer.text(), String(SCRIPT), 'build the program again');
});
