// The real program and real pages: the chat of the examples, and a page as applications of 2010 wrote it.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch, newPage, site, until } from './browser.mjs';
import { PATIENCE, Program } from './real.mjs';

let browser;

before(async () => (browser = await launch()));
after(() => browser?.close());

/** Starts the program for a test. */
async function start(t, ...command) {
  const program = await Program.start(...command);
  t.after(() => program.end());
  t.after(() => program.chat?.end());
  return program;
}

/** Opens a page for a test; `tab.polls` gathers its requests for news, and `tab.failed` those of them that failed. */
async function visit(t, url) {
  const tab = await newPage(browser, 'about:blank');
  t.after(() => tab.context().close());
  tab.polls = [];
  tab.failed = [];
  const isPoll = (request) => new URL(request.url()).pathname === '/message_updates';
  tab.on('request', (request) => isPoll(request) && tab.polls.push(request));
  tab.on('requestfailed', (request) => isPoll(request) && tab.failed.push(request));
  await tab.goto(url);
  return tab;
}

const eventually = (condition, what) => until(condition, PATIENCE, what);

let shots;

/** Takes pictures, into SHAVEET_SCREENSHOTS or a folder of their own. */
async function photograph(t, name, ...tabs) {
  if (!shots) {
    shots = process.env.SHAVEET_SCREENSHOTS || mkdtempSync(join(tmpdir(), 'shaveet-screenshots-'));
    mkdirSync(shots, { recursive: true });
  }
  for (const [i, tab] of tabs.entries()) {
    const path = join(shots, `${name}-${i + 1}.png`);
    await tab.screenshot({ path });
    t.diagnostic(`screenshot: ${path}`);
  }
}

// ---- the chat

const FLAGS = { cors: '', jsonp: '?disableCORS=1' };
const KINDS = { cors: 'fetch', jsonp: 'script' };

/** Opens the chat and joins; `prepare` gets the page before. */
async function enter(t, program, name, way, prepare = (_tab) => {}) {
  const tab = await visit(t, program.page + FLAGS[way]);
  await prepare(tab);
  await tab.fill('#name', name);
  await tab.click('#join button');
  await eventually(async () => (await look(tab)).state === 'connected', `${name} is connected`);
  return tab;
}

/** Opens the chat twice: Ann's page and Bob's. */
async function meet(t, program, anns, bobs) {
  const ann = await enter(t, program, 'Ann', anns);
  const bob = await enter(t, program, 'Bob', bobs);
  for (const tab of [ann, bob]) await listed(tab, 'Ann', 'Bob');
  return [ann, bob];
}

/** What the page shows. */
const look = (tab) =>
  tab.evaluate(() => ({
    state: document.getElementById('state').textContent,
    problem: document.getElementById('problem').textContent,
    members: Array.from(document.querySelectorAll('#members li'), (li) => li.textContent),
    count: document.getElementById('count').textContent,
    /** Who said what. */
    said: Array.from(document.querySelectorAll('#log li:not(.notice)'), (li) => [
      li.querySelector('.who').textContent,
      Array.from(li.childNodes, (node) => (node.nodeType === Node.TEXT_NODE ? node.data : '')).join('').trim(),
    ]),
    joins: Array.from(document.querySelectorAll('#log .notice')).filter((li) => li.textContent === 'You have joined').length,
  }));

const said = async (tab, who) => (await look(tab)).said.filter(([name]) => !who || name === who).map(([, text]) => text);

const listed = (tab, ...names) =>
  eventually(async () => {
    const { members, count } = await look(tab);
    return JSON.stringify([members, count]) === JSON.stringify([names, `(${names.length})`]);
  }, `members: ${names}`);

/** Types as people do. */
async function say(tab, text) {
  await tab.fill('#text', text);
  await tab.press('#text', 'Enter');
}

/** Says many things as fast as the page can take them. */
const sayAll = (tab, texts) =>
  tab.evaluate((texts) => {
    for (const text of texts) {
      document.getElementById('text').value = text;
      document.getElementById('say').requestSubmit();
    }
  }, texts);

let signals = 0;

/**
 * Waits until the pages have heard all that was said before. News of a channel
 * come in order, so what has not come before the signal will not come any more,
 * and what came twice is there.
 */
async function settle(program, ...tabs) {
  const signal = `signal ${++signals}`;
  await program.publish('chat', signal, 'signal');
  for (const tab of tabs) await eventually(async () => (await said(tab, 'signal')).includes(signal), signal);
}

/** What the page shows of what people said, signals left out. */
const talk = async (tab) => (await look(tab)).said.filter(([who]) => who !== 'signal');

const HOSTILE = '<img src=x onerror="window.PWNED=1"><script>window.PWNED=1</script>&amp;';

for (const [anns, bobs] of [
  ['cors', 'cors'],
  ['jsonp', 'jsonp'],
  ['cors', 'jsonp'],
]) {
  test(`Ann by ${anns} and Bob by ${bobs} chat`, async (t) => {
    const program = await start(t, 'chat');
    const [ann, bob] = await meet(t, program, anns, bobs);

    const lines = (name) => Array.from({ length: 30 }, (_, i) => `${name} ${i + 1}`);
    await Promise.all([sayAll(ann, lines('from Ann')), sayAll(bob, lines('from Bob'))]);
    for (const tab of [ann, bob]) await eventually(async () => (await talk(tab)).length >= 60, '60 messages');
    await say(ann, HOSTILE);
    for (const tab of [ann, bob]) await eventually(async () => (await said(tab)).includes(HOSTILE), 'the hostile text, as text');
    await settle(program, ann, bob);

    for (const tab of [ann, bob]) {
      assert.deepEqual(await said(tab, 'Ann'), [...lines('from Ann'), HOSTILE]);
      assert.deepEqual(await said(tab, 'Bob'), lines('from Bob'));
      assert.equal(await tab.evaluate(() => window.PWNED), undefined);
      assert.equal(await tab.evaluate(() => document.querySelectorAll('img, body script').length), 0);
      assert.equal((await look(tab)).problem, '');
    }
    assert.deepEqual((await look(ann)).said, (await look(bob)).said, 'one order for all');
    for (const [tab, way] of [
      [ann, anns],
      [bob, bobs],
    ]) {
      assert.ok(tab.polls.length > 1);
      for (const poll of tab.polls) {
        assert.equal(poll.resourceType(), KINDS[way]);
        assert.equal(new URL(poll.url()).searchParams.get('jsonp'), way === 'jsonp' ? '1' : null);
      }
      assert.deepEqual(tab.errors, []);
    }
    await photograph(t, `chat-${anns}-${bobs}`, ann, bob);
  });
}

test('who joins while the list of members is on its way is listed', async (t) => {
  const program = await start(t, 'chat');
  let asked, release;
  const list = new Promise((resolve) => (asked = resolve));
  const later = new Promise((resolve) => (release = resolve));
  const ann = await enter(t, program, 'Ann', 'cors', (tab) =>
    tab.route(
      '**/members',
      async (route) => {
        const response = await route.fetch();
        asked();
        await later;
        await route.fulfill({ response });
      },
      { times: 1 },
    ),
  );
  await list;
  const bob = await enter(t, program, 'Bob', 'cors');
  await eventually(() => ann.evaluate(() => document.querySelectorAll('#log .notice').length === 2), 'Ann hears of Bob');
  release();
  await ann.waitForSelector('#room:not([hidden])', { timeout: PATIENCE }); // shown when the list is there
  await listed(ann, 'Ann', 'Bob');
  await listed(bob, 'Ann', 'Bob');
});

test('what a backend of 2010 publishes appears in both pages as it was written', async (t) => {
  const program = await start(t, 'chat');
  const tabs = await meet(t, program, 'cors', 'jsonp');
  const text = 'שלום, wörld – ☃ 😀 e\u0301 \u2028 日本語 "</script>" \\u0041';
  const body = JSON.stringify({ method: 'new_message', params: ['משה', text, 'chat', false], id: 7 });
  assert.equal((await program.post(body)).trim(), '{"result": 1, "id": 7}');
  // Most encoders of the time wrote ASCII.
  const ascii = body.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  assert.equal((await program.post(ascii)).trim(), '{"result": 1, "id": 7}');
  await settle(program, ...tabs);
  for (const tab of tabs) {
    assert.deepEqual(await talk(tab), [
      ['משה', text],
      ['משה', text],
    ]);
    assert.deepEqual(tab.errors, []);
  }
});

// These wait more than they work, so they do it side by side.
describe('the chat outlives', { concurrency: true }, () => {
  for (const [signal, how] of [
    ['SIGKILL', 'killed'],
    ['SIGTERM', 'told to end'],
  ]) {
    test(`a server that is ${how} and started again`, async (t) => {
      const program = await start(t, 'chat');
      const tabs = await meet(t, program, 'cors', 'jsonp');
      const [ann, bob] = tabs;
      await say(ann, 'before, Ann');
      await say(bob, 'before, Bob');
      for (const tab of tabs) await eventually(async () => (await talk(tab)).length === 2, 'both were heard');
      const before = await talk(ann);
      assert.deepEqual(await talk(bob), before);

      const failures = tabs.map((tab) => tab.failed.length);
      const { code, signal: by, ms, output } = await program.end(signal);
      if (signal === 'SIGTERM') {
        assert.equal(code, 0, output);
        t.diagnostic(`it ended after ${ms} ms`);
        assert.ok(ms < 10_000, `it took ${ms} ms`); // drain_timeout
      } else {
        assert.equal(by, signal);
      }
      for (const [i, tab] of tabs.entries()) await eventually(() => tab.failed.length > failures[i], 'the page has noticed');

      await program.start();
      for (const tab of tabs) await eventually(async () => (await look(tab)).joins === 2, 'joined again');
      for (const tab of tabs) {
        await listed(tab, 'Ann', 'Bob');
        await eventually(async () => (await look(tab)).state === 'connected', 'connected again');
      }
      assert.equal((await program.call('get_channel_clients', 'chat')).length, 2);

      await say(bob, 'after, Bob');
      for (const tab of tabs) await eventually(async () => (await said(tab)).includes('after, Bob'), 'Bob is heard again');
      await say(ann, 'after, Ann');
      for (const tab of tabs) await eventually(async () => (await said(tab)).includes('after, Ann'), 'Ann is heard again');
      await settle(program, ...tabs);
      for (const tab of tabs) {
        assert.deepEqual(await talk(tab), [...before, ['Bob', 'after, Bob'], ['Ann', 'after, Ann']]);
        assert.deepEqual(tab.errors, []);
      }
      await photograph(t, `chat-after-${signal}`, ann, bob);
    });
  }

  test('a network that is cut, and hears what was published meanwhile', async (t) => {
    const program = await start(t, 'chat', '--poll-timeout', '2s');
    const tabs = await meet(t, program, 'cors', 'jsonp');
    await settle(program, ...tabs);
    for (const tab of tabs) await tab.context().setOffline(true);
    // The browser leaves alone what is under way; only the next poll fails.
    for (const tab of tabs) await eventually(() => tab.failed.length > 0, 'the page has noticed');
    await eventually(async () => (await program.held()) === 0, 'no poll is held');

    const texts = Array.from({ length: 5 }, (_, i) => `meanwhile ${i + 1}`);
    for (const text of texts) await program.publish('chat', text);
    for (const tab of tabs) {
      assert.equal((await look(tab)).state, 'offline');
      assert.deepEqual(await talk(tab), []);
    }

    for (const tab of tabs) await tab.context().setOffline(false);
    for (const tab of tabs) await eventually(async () => (await talk(tab)).length >= texts.length, 'all have come');
    await settle(program, ...tabs);
    for (const tab of tabs) {
      assert.deepEqual(await said(tab, 'node'), texts);
      assert.equal((await look(tab)).state, 'connected');
      assert.equal((await look(tab)).joins, 1, 'nobody had to join again');
      assert.deepEqual(tab.errors, []);
    }
  });
});

// ---- a page of 2010

/** A page for two clients, on another origin than the server's. */
async function oldPage(t, program, flags, keys, more = '') {
  const served = await site({
    '/': `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html>
<head>
<script type="text/javascript" src="${program.public}/static/shaveet.js?disableIECORS=1${flags}"></script>
<script type="text/javascript">
  var bulks = [], singles = [], gone = [];
  Shaveet.listenBulk("news", function(messages) { bulks.push(messages); });
  Shaveet.listenSingle("*", function(message) { singles.push(message); });
  ${more}
  Shaveet.init("alice", "${keys.alice}");
  Shaveet.init("bob", "${keys.bob}");
</script>
</head>
<body></body>
</html>`,
  });
  t.after(() => served.close());
  return visit(t, `${served.origin}/`);
}

/** What the page's backend does before it writes the page. */
async function clients(program) {
  const keys = {};
  for (const [id, channel] of [
    ['alice', 'news'],
    ['bob', 'sports'],
  ]) {
    keys[id] = await program.call('create_client', id);
    assert.match(keys[id], /^[0-9a-f]{32}$/);
    assert.equal(await program.call('subscribe', id, channel), 1);
  }
  return keys;
}

for (const [way, flags] of [
  ['cors', ''],
  ['jsonp', '&disableCORS=1'],
]) {
  describe(`a page of 2010 by ${way}`, () => {
    test('hears for both of its clients', async (t) => {
      const program = await start(t, 'serve');
      const keys = await clients(program);
      assert.equal(await program.publish('news', 'early', 'editor'), 1);
      const tab = await oldPage(t, program, flags, keys);
      const bulks = () => tab.evaluate(() => bulks);
      const singles = () => tab.evaluate(() => singles);

      await eventually(async () => (await bulks()).length === 1 && (await singles()).length === 1, 'what was there already');
      const notice = { payload: { type: 'subscribe' }, payload_raw: '{"type": "subscribe"}' };
      assert.deepEqual(await bulks(), [
        [
          { id: 1, client_id: 'alice', ...notice, channelName: 'news' },
          { id: 2, client_id: 'editor', payload: null, payload_raw: 'early', channelName: 'news' },
        ],
      ]);
      assert.deepEqual(await singles(), [{ id: 1, client_id: 'bob', ...notice, channelName: 'sports' }]);

      await program.publish('sports', { home: 1, guests: [0, 'ä'] }, 'referee');
      await eventually(async () => (await singles()).length === 2, 'sports');
      await program.publish('news', 'late', 'editor');
      await eventually(async () => (await bulks()).length === 2, 'news');
      const [, { payload_raw: raw, ...score }] = await singles();
      assert.deepEqual(score, { id: 2, client_id: 'referee', payload: { home: 1, guests: [0, 'ä'] }, channelName: 'sports' });
      assert.deepEqual(JSON.parse(raw), score.payload);
      assert.deepEqual((await bulks())[1].map((m) => [m.id, m.payload_raw]), [[3, 'late']]);
      assert.equal((await singles()).length, 2);

      for (const poll of tab.polls) {
        assert.equal(poll.resourceType(), KINDS[way]);
        assert.deepEqual(new URL(poll.url()).searchParams.getAll('client_id'), [`alice_!!_${keys.alice}`, `bob_!!_${keys.bob}`]);
      }
      assert.deepEqual(tab.errors, []);
    });

    test('is told of a client that was killed, and goes on for the other', async (t) => {
      const program = await start(t, 'serve');
      const tab = await oldPage(t, program, flags, await clients(program), 'Shaveet.onGone(function(id) { gone.push(id); });');
      const gone = () => tab.evaluate(() => gone);
      await eventually(() => tab.evaluate(() => bulks.length === 1 && singles.length === 1), 'the page listens');
      await eventually(async () => (await program.held()) > 0, 'a poll is held');

      assert.equal(await program.call('kill_client', 'alice'), 200);
      await eventually(async () => (await gone()).length > 0, 'the page is told');
      await program.publish('sports', 'goal');
      await eventually(() => tab.evaluate(() => singles.length === 2), 'bob goes on');
      assert.deepEqual(await gone(), ['alice']);
      assert.deepEqual(tab.errors, []);
    });
  });
}
