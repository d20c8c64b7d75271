// Tabs of a real browser that share one connection to the real program.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './browser.mjs';
import { connected, eventually, notes, numbers, open, start } from './tabs-site.mjs';

let browser;

before(async () => (browser = await launch()));
after(() => browser?.close());

const COMMON = `{ url: URL, clientId: 'alice', key: KEY }`;
const upTo = (count, from = 1) => Array.from({ length: count - from + 1 }, (_, i) => from + i);

async function enter(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  return context;
}

/** Waits until the tab has heard as much as is expected, and nothing else. */
async function hears(tab, expected) {
  await eventually(async () => (await numbers(tab)).length >= expected.length, `${expected.length} messages`);
  assert.deepEqual(await numbers(tab), expected);
  assert.deepEqual(await notes(tab, 'gap'), []);
  assert.deepEqual(tab.errors, []);
}

/** What belongs to other tabs may still be under way when all have heard all. */
const one = (site) => eventually(async () => (await site.program.held()) === 1, 'one session');

for (const [name, more] of [
  ['by the best transport', ''],
  ['by long polls', `, transports: ['longpoll']`],
]) {
  test(`${name}: tabs share one session, also while they come and go, and each hears each message once, in order`, async (t) => {
    const site = await start(t, COMMON.replace('}', `${more} }`));
    const context = await enter(t);
    const first = await open(context, site.origin);
    await connected(first);
    const second = await open(context, site.origin);
    await connected(second);
    await one(site);

    let done = false;
    const speaking = site.say(150, 10).finally(() => (done = true));
    const third = await open(context, site.origin);
    await connected(third);
    await first.close();
    for (let i = 0; !done; i++) {
      const passing = await open(context, site.origin);
      await connected(passing);
      await passing.close(i % 2 ? { runBeforeUnload: true } : {});
    }
    const all = upTo(await speaking);
    for (const tab of [second, third]) await hears(tab, all);
    await one(site);

    // Whatever were to come twice would have come before this.
    await site.say(1);
    for (const tab of [second, third]) await hears(tab, upTo(all.length + 1));
    const late = await open(context, site.origin);
    await hears(late, upTo(all.length + 1));
    await one(site);
    for (const tab of [second, third, late]) {
      const { posts, storage } = await tab.evaluate(() => ({ posts: posts.join(), storage: JSON.stringify([{ ...sessionStorage }, { ...localStorage }]) }));
      assert.ok(!posts.includes(site.key) && !storage.includes(site.key), 'the key is told to nobody');
    }
  });
}

test('tabs that start at once share', async (t) => {
  const site = await start(t, COMMON);
  const context = await enter(t);
  await site.say(3);
  const tabs = await Promise.all([1, 2, 3, 4].map(() => open(context, site.origin)));
  for (const tab of tabs) await connected(tab);
  await site.say(3);
  for (const tab of tabs) await hears(tab, upTo(6));
  await one(site);
});

test('the leader is killed: the others go on', async (t) => {
  const site = await start(t, COMMON);
  const context = await enter(t);
  const tabs = [];
  for (let i = 0; i < 3; i++) {
    tabs.push(await open(context, site.origin));
    await connected(tabs[i]);
  }
  await one(site);
  assert.equal(await tabs[0].evaluate(() => own), 1, 'it leads');
  const speaking = site.say(100, 10);
  await eventually(async () => (await numbers(tabs[1])).length >= 20, '20 messages');
  const crashed = tabs[0].waitForEvent('crash');
  const session = await context.newCDPSession(tabs[0]);
  session.send('Page.crash').catch(() => {});
  await crashed;
  await speaking;
  for (const tab of tabs.slice(1)) await hears(tab, upTo(100));
  await one(site);
});

describe('a leader that', () => {
  test('is loaded again and again loses nothing, nor do the others', async (t) => {
    const site = await start(t, `{ url: URL, clientId: 'alice', key: key, resume: true }`);
    const context = await enter(t);
    const tabs = [await open(context, site.origin), await open(context, site.origin)];
    for (const tab of tabs) await connected(tab);
    let done = false;
    const speaking = site.say(100, 10).finally(() => (done = true));
    for (let i = 0; !done || i < 4; i++) await tabs[i % 2].reload();
    await speaking;
    for (const tab of tabs) await hears(tab, upTo(100));
    await one(site);
  });

  test('is frozen gives way, and goes on when it is back', async (t) => {
    const site = await start(t, COMMON);
    const context = await enter(t);
    const tabs = [await open(context, site.origin)];
    await connected(tabs[0]);
    tabs.push(await open(context, site.origin));
    await connected(tabs[1]);
    await one(site);
    const session = await context.newCDPSession(tabs[0]);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await site.say(5);
    await hears(tabs[1], upTo(5));
    await one(site);
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await site.say(1);
    for (const tab of tabs) await hears(tab, upTo(6));
    await one(site);
  });

  test('is put away gives way, and comes back as it was', async (t) => {
    const keeping = await launch({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
    t.after(() => keeping.close());
    const site = await start(t, COMMON);
    const context = await keeping.newContext();
    const tabs = [await open(context, site.origin)];
    await connected(tabs[0]);
    tabs.push(await open(context, site.origin));
    await connected(tabs[1]);
    await tabs[0].evaluate(() => (window.mark = 1));
    await tabs[0].goto('data:text/html,elsewhere');
    await site.say(5);
    await hears(tabs[1], upTo(5));
    await tabs[0].goBack({ waitUntil: 'commit' });
    assert.equal(await tabs[0].evaluate(() => window.mark), 1, 'the page is the same');
    await site.say(1);
    for (const tab of tabs) await hears(tab, upTo(6));
    await one(site);
  });

  test('hangs keeps nothing from the others', async (t) => {
    const site = await start(t, COMMON);
    const context = await enter(t);
    const tabs = [await open(context, site.origin)];
    await connected(tabs[0]);
    tabs.push(await open(context, site.origin));
    await connected(tabs[1]);
    await one(site);
    await tabs[0].evaluate(() => {
      setTimeout(() => {
        for (const end = Date.now() + 10_000; Date.now() < end; );
        window.over = Date.now();
      });
    });
    await new Promise((resolve) => setTimeout(resolve, 300)); // nobody can ask it whether it hangs
    await site.say(3);
    // The other would find out by itself, but not so soon.
    await tabs[1].evaluate(() => void document.dispatchEvent(new Event('visibilitychange')));
    await hears(tabs[1], upTo(3));
    const over = await tabs[0].evaluate(() => window.over);
    const when = await tabs[1].evaluate(() => noted.filter(([what]) => what === 'message').map(([, , time]) => time));
    assert.ok(Math.max(...when) < over, `heard at ${when}, when the hang was over at ${over}`);
    await site.say(1);
    for (const tab of tabs) await hears(tab, upTo(4));
    await one(site);
  });
});

for (const [name, again] of [
  ['loaded again', (tab) => tab.reload()],
  [
    'put away, and back',
    async (tab) => {
      await tab.evaluate(() => (window.mark = 1));
      await tab.goto('data:text/html,elsewhere');
      await tab.goBack({ waitUntil: 'commit' });
      assert.equal(await tab.evaluate(() => window.mark), 1, 'the page is the same');
    },
  ],
]) {
  test(`a tab that came further without a word, and is ${name}, is told of no hole behind it`, async (t) => {
    const keeping = await launch({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
    t.after(() => keeping.close());
    const site = await start(t, COMMON.replace('}', ', resume: true }'), '--channel-messages', '5', '--heartbeat-time', '1s');
    const tab = await open(await keeping.newContext(), site.origin);
    await connected(tab);
    await site.say(1);
    await hears(tab, [1]);
    const desk = () => tab.evaluate(() => JSON.parse(sessionStorage[Object.keys(sessionStorage).find((key) => key.startsWith('shaveet tab'))]).cursor);
    const before = await desk();
    // More than the channel keeps, and not for us. Of all of it a heartbeat tells.
    for (let i = 0; i < 20; i++) {
      const params = { channel: 'room', data: i, sender: 'alice', exclude: ['alice'] };
      const answer = await site.program.post(JSON.stringify({ jsonrpc: '2.0', id: i, method: 'publish', params }));
      assert.ok(!JSON.parse(answer).error, answer);
    }
    const seq = (cursor) => Number(cursor.split('.')[1]);
    await eventually(async () => seq(await desk()) >= seq(before) + 20, 'a heartbeat');
    await again(tab);
    await connected(tab);
    await site.say(1);
    await hears(tab, [1, 2]);
  });
}

test('a client that is killed ends all tabs with constant keys', async (t) => {
  const site = await start(t, COMMON);
  const context = await enter(t);
  const tabs = [await open(context, site.origin), await open(context, site.origin)];
  for (const tab of tabs) await connected(tab);
  await site.program.call('kill_client', 'alice');
  for (const tab of tabs) {
    await eventually(() => tab.evaluate(() => c.state.name === 'closed'), 'closed');
    assert.deepEqual(await tab.evaluate(() => c.state), { name: 'closed', why: 'gone' });
    assert.deepEqual(await notes(tab, 'gone'), ['alice']);
  }
  await eventually(async () => (await site.program.held()) === 0, 'no session');
});

test('a server that is killed and started again: all tabs are told of the hole, and go on', async (t) => {
  const site = await start(t, `{ url: URL, clientId: 'alice', key: key }`);
  const context = await enter(t);
  const tabs = [await open(context, site.origin), await open(context, site.origin)];
  for (const tab of tabs) await connected(tab);
  await site.say(2);
  for (const tab of tabs) await hears(tab, [1, 2]);
  await site.program.end('SIGKILL');
  for (const tab of tabs) await eventually(() => tab.evaluate(() => c.state.name === 'waiting'), 'the tab has noticed');
  await site.program.start();
  // It has forgotten the client, so whoever leads asks the backend for another key.
  site.files['/key'] = await site.program.call('create_client', 'alice');
  assert.notEqual(site.files['/key'], site.key);
  await site.program.call('subscribe', 'alice', 'room');
  await site.say(1);
  for (const tab of tabs) {
    await eventually(async () => (await numbers(tab)).length === 3, 'what is said after it');
    const gaps = await notes(tab, 'gap');
    assert.deepEqual(
      gaps.map(({ channel, reason }) => [channel, reason]),
      [['room', 'reset']],
    );
  }
  await one(site);
});

test('where there are no locks, each tab has a connection', async (t) => {
  const site = await start(t, COMMON);
  const context = await enter(t);
  await context.addInitScript(() => delete Navigator.prototype.locks);
  const tabs = [await open(context, site.origin), await open(context, site.origin)];
  for (const tab of tabs) await connected(tab);
  await site.say(2);
  for (const tab of tabs) await hears(tab, [1, 2]);
  assert.equal(await site.program.held(), 2);
});

test('two of one page share as well', async (t) => {
  const site = await start(t, COMMON);
  const context = await enter(t);
  const page = await context.newPage();
  await page.goto(`${site.origin}/both`);
  const [, ...frames] = page.frames();
  assert.equal(frames.length, 2);
  for (const frame of frames) await connected(frame);
  await site.say(12);
  for (const frame of frames) {
    await eventually(async () => (await numbers(frame)).length >= 12, 'all');
    assert.deepEqual(await frame.evaluate(() => noted.filter(([what]) => what === 'message').length), 12);
  }
  await one(site);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
});
