import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createClient } from '../src/client';
import type { Message, Page } from '../src/types';
import { FakeBrowser, settled } from './fakes';

let env: FakeBrowser;
let shaveet: Page;

beforeEach(() => {
  env = new FakeBrowser();
  shaveet = createClient(env);
});

function start(id = 'a', key = 'k') {
  shaveet.init(id, key);
  env.clock.advance(1);
}

/** Answers the poll under way with these texts by channel. */
async function answer(channels: Record<string, string[]>) {
  const rows = Object.entries(channels).map(([name, texts]) => [name, texts.map((text, i) => [i + 1, text, 'bob'])]);
  // Object.fromEntries defines members, __proto__ too.
  await env.poll.answer(`/**/noop(${JSON.stringify(Object.fromEntries(rows))});`);
}

const texts = (listener: ReturnType<typeof vi.fn>) =>
  listener.mock.calls.map(([message]) => (message as Message).payload_raw);

describe('the server', () => {
  test('is found by the script tag', () => {
    start();
    expect(env.poll.url).toMatch(/^http:\/\/push:8082\/message_updates\?callback=noop&client_id=a_!!_k&ts=\d+&v=2$/);
    expect(shaveet.base).toBe('http://push:8082');
  });

  test('is looked for at init, not before', () => {
    env.sources = [];
    const early = createClient(env);
    env.sources = ['http://late/static/shaveet.js'];
    early.init('a', 'k');
    expect(early.base).toBe('http://late');
  });

  test('can be given', () => {
    env.sources = [];
    shaveet.base = 'https://given/push/';
    start();
    expect(env.poll.url).toMatch(/^https:\/\/given\/push\/message_updates\?/);
  });

  test('can be the origin of the page', () => {
    shaveet.base = '';
    start();
    expect(env.poll.url).toMatch(/^\/message_updates\?/);
  });

  test('missing is an error at init', () => {
    env.sources = ['http://page/app.js'];
    expect(() => shaveet.init('a', 'k')).toThrow(/Shaveet\.base/);
    expect(env.clock.pending).toEqual([]);
  });
});

describe('the transport', () => {
  test('is CORS if it can be', () => {
    start();
    expect([env.fetches.length, env.tags.length]).toEqual([1, 0]);
  });

  test.each(['disableCORS=1', 'disableIECORS=1&disableCORS=1'])('is JSONP for %s', (flags) => {
    env.sources = [`http://push/static/shaveet.js?${flags}`];
    start();
    expect([env.fetches.length, env.tags.length]).toEqual([0, 1]);
  });

  test('is CORS for disableIECORS=1', () => {
    env.sources = ['http://push/static/shaveet.js?disableIECORS=1'];
    start();
    expect(env.fetches).toHaveLength(1);
  });

  test('is JSONP where a fetch cannot be aborted', () => {
    delete env.native['AbortController'];
    start();
    expect(env.tags).toHaveLength(1);
  });

  test('can be chosen', () => {
    env.sources = ['http://push/static/shaveet.js?disableCORS=1'];
    shaveet.jsonp = false;
    start();
    expect(env.fetches).toHaveLength(1);
  });
});

describe('listeners', () => {
  test('listenSingle gets one message at a time, with all its members', async () => {
    const listener = vi.fn();
    shaveet.listenSingle('room', listener);
    start();
    await answer({ room: ['{"n":1}', 'plain'] });
    expect(listener.mock.calls).toEqual([
      [{ id: 1, client_id: 'bob', payload: { n: 1 }, payload_raw: '{"n":1}', channelName: 'room' }],
      [{ id: 2, client_id: 'bob', payload: null, payload_raw: 'plain', channelName: 'room' }],
    ]);
  });

  test('listenBulk gets all of one answer', async () => {
    const listener = vi.fn();
    shaveet.listenBulk('room', listener);
    start();
    await answer({ room: ['a', 'b'] });
    expect(listener).toHaveBeenCalledOnce();
    expect(listener.mock.calls[0]).toHaveLength(1);
    expect(listener.mock.calls[0]?.[0].map((message: Message) => message.id)).toEqual([1, 2]);
  });

  test('* is for channels that have none of their own', async () => {
    const own = vi.fn();
    const any = vi.fn();
    shaveet.listenSingle('*', any);
    shaveet.listenBulk('room', own);
    start();
    await answer({ room: ['1'], other: ['2'], third: ['3'] });
    expect(own).toHaveBeenCalledOnce();
    expect(any.mock.calls.map(([message]) => message.channelName)).toEqual(['other', 'third']);
  });

  test('stopListening drops all of a channel, which is then one of *', async () => {
    const [single, bulk, any] = [vi.fn(), vi.fn(), vi.fn()];
    shaveet.listenSingle('room', single);
    shaveet.listenBulk('room', bulk);
    shaveet.listenSingle('*', any);
    shaveet.stopListening('room');
    shaveet.stopListening('never heard of');
    start();
    await answer({ room: ['1'] });
    expect(single).not.toHaveBeenCalled();
    expect(bulk).not.toHaveBeenCalled();
    expect(any).toHaveBeenCalledOnce();
  });

  test('may come after init, and several to a channel', async () => {
    start();
    const [first, second] = [vi.fn(), vi.fn()];
    shaveet.listenSingle('room', first);
    shaveet.listenSingle('room', second);
    await answer({ room: ['1'] });
    expect(first).toHaveBeenCalledOnce();
    expect(second).toHaveBeenCalledOnce();
  });

  test('can undo themselves in the middle of an answer', async () => {
    const listener = vi.fn(() => undo());
    const undo = shaveet.listenSingle('room', listener);
    start();
    await answer({ room: ['1', '2', '3'] });
    expect(listener).toHaveBeenCalledOnce();
  });

  test('messages nobody listens for are no trouble', async () => {
    start();
    await answer({ room: ['1'] });
    expect(env.fetches).toHaveLength(2);
  });

  test('that throw disturb neither the others nor the loop, and are told', async () => {
    const error = new Error('a listener of the page');
    const [single, bulk, after] = [vi.fn(), vi.fn(), vi.fn()];
    shaveet.listenSingle('room', (message) => {
      single(message);
      throw error;
    });
    shaveet.listenBulk('room', (messages) => {
      bulk(messages);
      throw error;
    });
    shaveet.listenSingle('room', after);
    shaveet.listenSingle('other', after);
    start();
    await answer({ room: ['1', '2'], other: ['3'] });
    expect(texts(single)).toEqual(['1', '2']);
    expect(bulk).toHaveBeenCalledOnce();
    expect(texts(after)).toEqual(['1', '2', '3']);
    expect(env.reports).toEqual([[error], [error], [error]]);
    expect(env.fetches).toHaveLength(2);
  });

  test.each(['__proto__', 'constructor', 'hasOwnProperty', 'valueOf', 'error'])('channel %s is one like any other', async (name) => {
    const [own, any] = [vi.fn(), vi.fn()];
    shaveet.listenSingle('*', any);
    start();
    await answer(Object.fromEntries([[name, ['before']]]));
    shaveet.listenSingle(name, own);
    await answer(Object.fromEntries([[name, ['after']]]));
    expect(texts(any)).toEqual(['before']);
    expect(texts(own)).toEqual(['after']);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

describe('several clients', () => {
  test('two inits in a row make one poll', () => {
    shaveet.init('a', '1');
    shaveet.init('b', '2');
    env.clock.advance(100);
    expect(env.fetches).toHaveLength(1);
    expect(env.poll.url).toContain('client_id=a_!!_1&client_id=b_!!_2&');
  });

  test('an init later closes the parked poll', async () => {
    start('a', '1');
    const parked = env.poll;
    start('b', '2');
    await settled();
    expect(parked.signal.aborted).toBe(true);
    expect(env.fetches).toHaveLength(2);
    expect(env.clock.pending).toEqual([40_000]);
  });

  test('ids that are numbers in the page can be told gone', async () => {
    const listener = vi.fn();
    shaveet.onGone(listener);
    start(5 as unknown as string);
    await env.poll.answer('/**/noop({"error":{"code":404,"type":"gone","clients":["5"]}});', { status: 404 });
    expect(listener.mock.calls).toEqual([['5']]);
  });

  test('a listener may init another', async () => {
    shaveet.listenSingle('room', () => shaveet.init('b', '2'));
    start('a', '1');
    await answer({ room: ['1'] });
    env.clock.advance(1);
    expect(env.fetches).toHaveLength(2);
    expect(env.poll.url).toContain('client_id=a_!!_1&client_id=b_!!_2&');
  });
});

describe('gone', () => {
  const body = '/**/noop({"error":{"code":404,"type":"gone","clients":["a"]}});';

  test('reaches its listeners, isolated from each other', async () => {
    const listener = vi.fn();
    const undone = vi.fn();
    shaveet.onGone(() => {
      throw new Error('a listener of the page');
    });
    shaveet.onGone(listener);
    shaveet.onGone(undone)();
    start();
    await env.poll.answer(body, { status: 404 });
    expect(listener.mock.calls).toEqual([['a']]);
    expect(undone).not.toHaveBeenCalled();
    expect(env.reports).toHaveLength(1);
    expect(env.clock.pending).toEqual([]);
  });

  test('is told on the console if nobody listens', async () => {
    start();
    await env.poll.answer(body, { status: 404 });
    expect(env.reports).toEqual([['Shaveet: client a is gone']]);
  });
});

test('stop ends it, init starts it anew with the same listeners', async () => {
  const listener = vi.fn();
  shaveet.listenSingle('room', listener);
  start('a', '1');
  shaveet.stop();
  await settled();
  expect(env.poll.signal.aborted).toBe(true);
  expect(env.clock.pending).toEqual([]);
  start('b', '2');
  expect(env.poll.url).toContain('?callback=noop&client_id=b_!!_2&ts=');
  await answer({ room: ['1'] });
  expect(listener).toHaveBeenCalledOnce();
});
