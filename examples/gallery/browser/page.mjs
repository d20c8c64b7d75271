// The whole gallery in a real browser, driven by TestPage, which says in the
// environment where it is (PAGE) and where pictures go (PICTURES, perhaps). Two
// people open it in browsers of their own: a desktop and a phone.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { launch, newPage, until } from '../../../client-js/test/browser/browser.mjs';

const PATIENCE = 30_000; // where all is well nobody waits for it
const names = { one: '', two: '' };

const frame = (tab, side) => tab.frameLocator(`#${side} iframe:not([hidden])`);
const reader = (tab, side) => ({
  fill: (selector, text) => frame(tab, side).locator(selector).fill(text),
  press: (selector, key) => frame(tab, side).locator(selector).press(key),
  click: (selector) => frame(tab, side).locator(selector).first().click(),
  sees: (selector, text) => frame(tab, side).locator(selector).filter({ hasText: text }).first().waitFor({ timeout: PATIENCE }),
});

/** What is in the list: each line's kind of door, whether it is a call, and its text. */
const lines = (tab) =>
  tab.evaluate(() =>
    Array.from(document.querySelectorAll('#events li:not([hidden])'), (row) => ({ door: row.dataset.door, call: row.dataset.call === 'true', text: row.textContent })),
  );

async function shows(tab, what, door, text) {
  let seen;
  try {
    await until(async () => (seen = await lines(tab)).some((line) => line.door === door && text.test(line.text)), PATIENCE, what);
  } catch (error) {
    throw new Error(`${error.message}: ${JSON.stringify(seen?.slice(-20), null, 1)}`);
  }
}

/** On a phone one thing is seen at a time. */
async function turn(tab, view) {
  if (await tab.locator(`#tab-${view}`).isVisible()) await tab.click(`#tab-${view}`);
}

async function photograph(tab, name) {
  if (!process.env.PICTURES) return;
  for (const colorScheme of ['light', 'dark']) {
    await tab.emulateMedia({ colorScheme });
    await tab.waitForTimeout(300);
    await tab.screenshot({ path: join(process.env.PICTURES, `gallery-${tab.kind}-${name}-${colorScheme}.png`) });
  }
}

const stories = {
  'live-graph': async (tab) => {
    for (const [side, connected] of Object.entries({ one: /^connected/, two: /^Connected/ })) {
      await turn(tab, side);
      await reader(tab, side).sees(side === 'one' ? '#state' : '#conn_status', connected);
    }
    await shows(tab, 'points come', 'zeromq', /ZMTP message: \{"x":\d+,"y":/);
    await shows(tab, 'points go', 'public', /←.*WS .*"graph"/);
    await shows(tab, 'a call', 'admin', /^[\d:.]+callsubscribe/);
  },
  chat: async (tab) => {
    for (const side of ['one', 'two']) {
      await turn(tab, side);
      await reader(tab, side).fill('#name', names[side]);
      await reader(tab, side).click('#join button');
      await reader(tab, side).sees('#state', 'connected');
    }
    await reader(tab, 'two').fill('#text', `hello from ${tab.kind}`);
    await reader(tab, 'two').press('#text', 'Enter');
    await turn(tab, 'one');
    await reader(tab, 'one').sees('#log li', `hello from ${tab.kind}`);
    await shows(tab, 'the call', 'admin', /callnew_message \[.*hello from.*= 1/);
    await shows(tab, 'a poll', 'public', /HTTP GET \/message_updates/);
    await shows(tab, 'its answer', 'public', /body .*hello from/);
  },
  chatterbox: async (tab) => {
    for (const side of ['one', 'two']) {
      await turn(tab, side);
      await reader(tab, side).sees('#state', 'Connected');
    }
    await reader(tab, 'two').fill('#u', names.two);
    await reader(tab, 'two').fill('#m', `two web apps for ${tab.kind}`);
    await reader(tab, 'two').press('#m', 'Enter');
    await turn(tab, 'one');
    await reader(tab, 'one').sees('#log li', `two web apps for ${tab.kind}`);
    await shows(tab, 'a line comes', 'zeromq', /→.*ZMTP message: \{.*two web apps for/);
    await shows(tab, 'it goes to the web apps', 'zeromq', /←.*ZMTP message of 2 frames: chatterbox .*two web apps for/);
    await shows(tab, 'it goes to the pages', 'public', /←.*WS .*two web apps for/);
    await shows(tab, 'a call', 'admin', /callcreate_client/);
  },
  'socketio-chat': async (tab) => {
    for (const side of ['one', 'two']) {
      await turn(tab, side);
      await reader(tab, side).sees('#state', 'connected');
      await reader(tab, side).fill('#name', names[side]);
      await reader(tab, side).press('#name', 'Enter');
      await reader(tab, side).sees('#log li', `${names[side]} has connected`);
    }
    await reader(tab, 'two').fill('#text', `events for ${tab.kind}`);
    await reader(tab, 'two').press('#text', 'Enter');
    await turn(tab, 'one');
    await reader(tab, 'one').sees('#log li', `events for ${tab.kind}`);
    await shows(tab, 'what is said', 'public', /→.*42\/chat,\d+\["user message","events for/);
    await shows(tab, 'what is heard', 'public', /←.*42\/chat,\["msg_to_room".*events for/);
  },
  rooms: async (tab) => {
    for (const side of ['one', 'two']) {
      await turn(tab, side);
      await reader(tab, side).fill('#name', names[side]);
      await reader(tab, side).press('#name', 'Enter');
      await reader(tab, side).click('#rooms a:has-text("python")');
      await reader(tab, side).sees('#state', 'connected');
    }
    await reader(tab, 'two').fill('#text', `a room for ${tab.kind}`);
    await reader(tab, 'two').press('#text', 'Enter');
    await turn(tab, 'one');
    await reader(tab, 'one').sees('#log li', `a room for ${tab.kind}`);
    await shows(tab, 'a batch', 'admin', /callclients \((\d) of \1 together\)/);
    await shows(tab, 'a poll', 'public', /HTTP GET \/longpoll/);
  },
  stream: async (tab) => {
    await turn(tab, 'one');
    await reader(tab, 'one').sees('#lines li', 'Hello World');
    await shows(tab, 'a piece of the stream', 'public', /piece .*Hello World/);
    for (const [transport, text] of Object.entries({ sse: /piece .*data: /, websocket: /WS .*Hello World/, longpoll: /body .*Hello World/, jsonp: /body .*\(\{.*Hello World/ })) {
      await reader(tab, 'one').click(`input[value="${transport}"]`);
      await shows(tab, transport, 'public', text);
    }
    await shows(tab, 'a call', 'admin', /callpublish \{.*stream:hello/);
  },
  notifications: async (tab) => {
    for (const side of ['one', 'two']) {
      await turn(tab, side);
      await reader(tab, side).fill('#name', names[side]);
      await reader(tab, side).click('#login button');
      await reader(tab, side).sees('#state', 'connected');
      await reader(tab, side).sees('#me', names[side]); // and not the other one's
    }
    await reader(tab, 'two').fill('#to', names.one);
    await reader(tab, 'two').fill('#text', 'your order is on its way');
    await reader(tab, 'two').press('#text', 'Enter');
    await turn(tab, 'one');
    await reader(tab, 'one').sees('#list li', 'your order is on its way');
    await shows(tab, 'the call', 'admin', /callpublish \{.*your order/);
    await shows(tab, 'the frame', 'public', /WS .*user:/);
  },
};

/** Through all examples, as somebody goes who follows the links. */
async function visit(tab) {
  names.one = `Ann ${tab.kind}`;
  names.two = `Bob ${tab.kind}`;
  for (const [name, story] of Object.entries(stories)) {
    await tab.click(`#examples a[href="#${name}"]`);
    await until(() => tab.evaluate((name) => document.querySelector('#examples [aria-current]')?.hash === `#${name}`, name), PATIENCE);
    await story(tab);
    await turn(tab, 'one');
    await photograph(tab, name);
    if (tab.kind === 'phone') {
      await turn(tab, 'wire');
      await photograph(tab, `${name}-wire`);
    }
    const [width, height] = await tab.evaluate(() => [document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]);
    assert.ok(width <= 0 && height <= 0, `${name} is too large for the page, by ${width} and ${height}`);
  }
}

/** The list: filter, pause, a line with all that it has, clear. */
async function inspect(tab) {
  await tab.click('#examples a[href="#stream"]');
  await turn(tab, 'wire');
  await shows(tab, 'something', 'admin', /./);
  await tab.check('input[value="calls"]', { force: true });
  assert.ok((await lines(tab)).every(({ call }) => call));
  await tab.locator('#events li:not([hidden]) summary').last().click();
  await until(async () => (await tab.textContent('#pause')) === 'Go on', PATIENCE, 'who opens a line has the list wait');
  const inside = tab.locator('#events details[open] .inside');
  await inside.waitFor({ timeout: PATIENCE });
  assert.match(await inside.innerText(), /Method\s+publish\s+Params[^]+"channel": "stream:[^]+Result/);
  await photograph(tab, 'call');
  const before = await lines(tab);
  await until(async () => (await tab.textContent('#state')) === 'more waits', PATIENCE, 'it says that more has come');
  assert.deepEqual(await lines(tab), before);
  await tab.click('#pause');
  await until(async () => (await lines(tab)).at(-1).text !== before.at(-1).text, PATIENCE, 'it goes on');
  await tab.check('input[value="bytes"]', { force: true });
  assert.ok((await lines(tab)).every(({ call }) => !call));
  await tab.click('.door[data-door="admin"]');
  assert.ok((await lines(tab)).every(({ door }) => door === 'public'));
  await tab.locator('#events li:not([hidden]) summary').last().focus();
  await tab.keyboard.press('Enter');
  await until(async () => /0000 {2}[0-9a-f]{2} /.test(await tab.locator('#events details[open] .hex').innerText()), PATIENCE, 'bytes');
  await photograph(tab, 'bytes');
  await tab.click('#clear');
  assert.equal((await lines(tab)).length, 0);
  await tab.click('#pause');
  await tab.click('.door[data-door="admin"]');
  await tab.check('input[value="all"]', { force: true });
  await shows(tab, 'it goes on', 'admin', /./);
}

/** The list by keyboard: one stop, and the arrows; who is inside stays there. */
async function step(tab) {
  await tab.click('#examples a[href="#stream"]');
  await turn(tab, 'wire');
  await until(async () => (await lines(tab)).length > 3, PATIENCE, 'lines');
  assert.equal(await tab.locator('#events summary[tabindex="0"]').count(), 1);
  await tab.locator('#events summary[tabindex="0"]').focus();
  // Two lines may read the same, so each that was visited gets a number.
  const here = () => tab.evaluate(() => {
    const line = document.activeElement.closest('#events li');
    window.visited ??= new Map();
    if (line && !window.visited.has(line)) window.visited.set(line, window.visited.size + 1);
    return line && window.visited.get(line);
  });
  const last = await here();
  await tab.keyboard.press('ArrowUp');
  const before = await here();
  assert.ok(before && before !== last);
  await tab.keyboard.press('ArrowDown');
  assert.equal(await here(), last);
  await tab.keyboard.press('Home');
  const first = await here();
  assert.notEqual(first, last);
  await tab.evaluate(() => {
    const rows = Array.from(document.querySelectorAll('#events li:not(.note)'));
    for (let i = rows.length; i < 400; i++) document.getElementById('events').append(rows.at(-1).cloneNode(true));
    rows.at(1).dataset.marked = 'yes';
  });
  await until(() => tab.evaluate(() => !document.querySelector('#events li[data-marked]')), PATIENCE, 'the second line leaves');
  assert.equal(await here(), first);
  await tab.click('#clear');
}

/** What was too much is said, and stays with the lines behind the hole; numbers
 *  are as they were written; and what is empty says why. */
async function tellHoles(tab) {
  await tab.evaluate(() => {
    globalThis.realSource = EventSource;
    globalThis.EventSource = class extends EventTarget {
      static OPEN = 1;
      readyState = 1;
      constructor() {
        super();
        globalThis.told = this;
      }
      close() {}
    };
  });
  await tab.click('#examples a[href="#chat"]');
  await until(() => tab.evaluate(() => typeof globalThis.told?.onmessage === 'function'), PATIENCE, 'somebody listens');
  await tab.evaluate(() => {
    const tell = (kind, data) => told.dispatchEvent(new MessageEvent(kind, { data }));
    tell('lost', '30');
    for (let i = 31; i <= 430; i++) {
      const call = { method: 'm', params: '{"a":[12345678901234567890,{},[]],"b":"\\u00e9"}', result: '1.0', ms: 1 };
      told.onmessage({ data: JSON.stringify({ id: i, at: i, door: 'admin', conn: 1, up: true, kind: 'call', title: 'm', bytes: 0, call }), lastEventId: String(i) });
    }
    tell('passed', '{"admin":{"bytes":5000,"calls":430},"public":{"bytes":7,"calls":0}}');
  });
  await until(async () => (await lines(tab)).length === 401, PATIENCE, 'a note and 400 lines');
  assert.match((await lines(tab))[0].text, /^30 lines were too much/);
  assert.match((await lines(tab))[1].text, /\{"a":\[12345678901234567890,\{\},\[\]\],"b":"é"\}= 1\.0/);
  assert.match(await tab.innerText('.door[data-door="admin"]'), /430 calls · 5\.0 kB/);
  assert.ok(await tab.isVisible('.door[data-door="public"]')); // though no line of it is kept
  await tab.click('#clear');
  await tab.evaluate(() => {
    const call = { method: 'm', ms: 1 };
    told.onmessage({ data: JSON.stringify({ id: 431, at: 1, door: 'admin', conn: 1, up: true, kind: 'call', title: 'm', bytes: 0, call }), lastEventId: '431' });
  });
  await until(async () => (await lines(tab)).length === 1, PATIENCE);
  await tab.check('input[value="bytes"]', { force: true });
  assert.match(await tab.evaluate(() => getComputedStyle(document.getElementById('events'), '::before').content), /Nothing of/);
  await tab.check('input[value="all"]', { force: true });
  await tab.evaluate(() => (globalThis.EventSource = realSource));
  await tab.click('#examples a[href="#stream"]');
}

/** The newest stays in sight, however the window is pulled. */
async function pull(tab) {
  const { width, height } = tab.viewportSize();
  await until(async () => (await lines(tab)).length > 30, PATIENCE, 'lines');
  for (const [w, h] of [[width - 40, height - 100], [width, height], [width - 70, height + 60], [width, height]]) {
    await tab.setViewportSize({ width: w, height: h });
    await until(() => tab.evaluate(() => {
      const { scrollHeight, scrollTop, clientHeight } = document.getElementById('events');
      return scrollHeight - scrollTop - clientHeight < 60 && document.getElementById('follow').hidden;
    }), PATIENCE, 'it follows');
  }
}

/** Another query behind # is another page for the readers. */
async function ask(tab) {
  await tab.click('#examples a[href="#chat"]');
  await tab.evaluate(() => (location.hash = '#chat?disableCORS=1'));
  await tab.locator('#one iframe[data-url="chat/?disableCORS=1"]:not([hidden])').waitFor({ state: 'attached', timeout: PATIENCE });
  await tab.evaluate(() => (location.hash = '#chat'));
  await tab.locator('#one iframe[data-url="chat/"]:not([hidden])').waitFor({ state: 'attached', timeout: PATIENCE });
}

/** Where the source cannot be had, that is said, and no other is shown. */
async function missSource(tab) {
  await turn(tab, 'source');
  await tab.route('**/source/rooms', (route) => route.abort());
  await tab.click('#examples a[href="#rooms"]');
  await until(async () => /Does the demo still run/.test(await tab.innerText('#code')), PATIENCE, 'it says so');
  assert.equal(await tab.locator('#file option').count(), 0);
  await tab.unroute('**/source/rooms');
  tab.errors.length = 0; // that one was ours
}

/** Its sources, by keyboard. */
async function leaf(tab) {
  await tab.focus('#tabs [aria-selected="true"]');
  await tab.keyboard.press('End');
  await until(() => tab.evaluate(() => document.activeElement.id === 'tab-source'), PATIENCE, 'the last tab');
  await until(async () => /^# /.test(await tab.innerText('#code')), PATIENCE, 'the README comes first');
  const files = await tab.locator('#file option').allInnerTexts();
  for (const file of files) {
    await tab.selectOption('#file', file);
    await until(() => tab.evaluate((file) => document.getElementById('code').ariaLabel === file, file), PATIENCE, file);
    const [shown, text] = await tab.evaluate(async () => [
      Array.from(document.querySelectorAll('#code code'), (line) => line.textContent).join('\n'),
      await fetch(document.getElementById('plain').href).then((response) => response.text()),
    ]);
    assert.equal(shown, text.replace(/\n$/, ''), file);
  }
  await tab.selectOption('#file', 'go/streamapp/producer.go');
  await until(() => tab.evaluate(() => document.getElementById('code').ariaLabel.endsWith('producer.go')), PATIENCE);
  await photograph(tab, 'source');
  await turn(tab, 'wire');
}

/** Whoever cannot see the page can still use it. */
async function listenTo(tab) {
  const nameless = await tab.evaluate(() =>
    Array.from(document.querySelectorAll('button, a, select, input, iframe, [tabindex="0"], section'))
      .filter((each) => each.checkVisibility())
      .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.getAttribute('aria-labelledby') || each.title || each.labels?.length))
      .map((each) => each.outerHTML.slice(0, 100)),
  );
  assert.deepEqual(nameless, []);
  assert.equal(await tab.locator('h1').count(), 1);
}

const browser = await launch();
try {
  const open = async (kind, width, height) => {
    const tab = await newPage(browser, `${process.env.PAGE}#chat`);
    tab.kind = kind;
    await tab.setViewportSize({ width, height });
    await until(async () => (await tab.textContent('#title')) === 'Chat', PATIENCE, 'what is behind # is opened');
    return tab;
  };
  const desktop = await open('desktop', 1440, 900);
  const phone = await open('phone', 390, 844);
  for (const tab of [desktop, phone]) {
    await visit(tab);
    await inspect(tab);
    await leaf(tab);
    await listenTo(tab);
    await step(tab);
    await tellHoles(tab);
    await pull(tab);
    await ask(tab);
    assert.deepEqual(tab.errors, []);
    await missSource(tab);
  }
  // Who was in is still in, and hears what the other has said meanwhile.
  await desktop.click('#examples a[href="#chat"]');
  await reader(desktop, 'one').sees('#log li', 'hello from phone');
  for (const tab of [desktop, phone]) assert.deepEqual(tab.errors, []);
  console.log('done');
} finally {
  await browser.close();
}
process.exit(0);
