import { beforeEach, describe, expect, type Mock, test, vi } from 'vitest';
import { failed, type News } from '../src/batch';
import { byCall, byPost, bySocket, bySource, byStream, type Hello } from '../src/links';
import { FakeBrowser, settled } from './fakes';

const p = (seq: number) => `00000000000000aa.${seq}`;
const CUT = failed();
const EMPTY = { cursor: p(1), signals: [], messages: [] };
const HELLO: Hello = { clients: [{ id: 'a', key: 'k' }], session: 's', cursor: p(0), wait: 7 };
const SAID = { clients: [{ id: 'a', key: 'k' }], session: 's', cursor: p(0), wait: 7 };
const ERROR = '{"error":{"code":503,"type":"unavailable","retry_ms":9}}';
const UNAVAILABLE = failed('unavailable', 9, 503, true);

let env: FakeBrowser;
let sink: Mock<(news: News) => void>;

beforeEach(() => {
  env = new FakeBrowser();
  env.modern();
  sink = vi.fn<(news: News) => void>();
});

/** What has come since it was asked last. */
const came = () => sink.mock.calls.splice(0).map(([news]) => news);
const message = (seq: number, data: unknown = null) => ({ channel: 'c', id: seq, pos: p(seq), sender: 'x', data, time: 0 });
const batch = (seq: number, data?: unknown) => ({ cursor: p(seq), signals: [], messages: [message(seq, data)] });

describe.each([
  ['by post', byPost, 'longpoll'],
  ['by stream', byStream, 'stream'],
] as const)('%s', (_, link, path) => {
  test('asks with all it has in the body', async () => {
    link(env, 'http://push', HELLO, sink);
    expect(env.poll.url).toBe(`http://push/${path}`);
    expect(JSON.parse(env.poll.body!)).toEqual(SAID);
    expect(sink).not.toHaveBeenCalled();
    await env.poll.answer(`${JSON.stringify(EMPTY)}\n`);
    expect(came()[0]).toEqual(EMPTY);
  });

  test('has no cursor the first time', () => {
    link(env, 'http://push', { ...HELLO, cursor: undefined }, sink);
    expect(Object.keys(JSON.parse(env.poll.body!) as object)).not.toContain('cursor');
  });

  test('minds status and Retry-After', async () => {
    link(env, 'http://push', HELLO, sink);
    await env.poll.answer('busy', { status: 503, headers: { 'Retry-After': '5' } });
    expect(came()).toEqual([failed('HTTP 503', 5000, 503)]);
  });

  test('gives on what the server says of an error, and of who is gone', async () => {
    link(env, 'http://push', HELLO, sink);
    await env.poll.answer(ERROR, { status: 503, headers: { 'Retry-After': '1' } });
    expect(came()).toEqual([UNAVAILABLE]);
    link(env, 'http://push', HELLO, sink);
    const gone = { cursor: undefined, signals: [{ type: 'gone', client: 'a' }], messages: [] };
    await env.poll.answer(JSON.stringify(gone), { status: 404 });
    expect(came()).toEqual([gone]);
  });

  test('a network error is a failure', async () => {
    link(env, 'http://push', HELLO, sink);
    await env.poll.fail();
    expect(came()).toEqual([CUT]);
  });

  test('giving up closes it', async () => {
    const giveUp = link(env, 'http://push', HELLO, sink);
    await env.poll.write('');
    giveUp();
    await settled();
    expect(env.poll.signal.aborted).toBe(true);
  });
});

describe('by stream', () => {
  const lines = (...values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');

  test('each line is a batch, wherever the pieces end', async () => {
    const text = lines(batch(1, 'é😀\u2028'), batch(2), batch(3));
    const bytes = new TextEncoder().encode(text);
    for (const size of [1, 2, 3, 7, 50, bytes.length]) {
      byStream(env, 'http://push', HELLO, sink);
      for (let i = 0; i < bytes.length; i += size) await env.poll.write(bytes.slice(i, i + size));
      expect(came(), `pieces of ${size}`).toEqual([batch(1, 'é😀\u2028'), batch(2), batch(3)]);
    }
  });

  test.each(['end', 'cut'] as const)('a line that was not whole has not come: %s', async (how) => {
    byStream(env, 'http://push', HELLO, sink);
    await env.poll.write(lines(batch(1)) + JSON.stringify(batch(2)));
    await env.poll[how]();
    expect(came()).toEqual([batch(1), CUT]);
  });

  test('a line that does not end is given up', async () => {
    byStream(env, 'http://push', HELLO, sink);
    await env.poll.write('"'.padEnd(2 ** 23, 'x'));
    expect(came()).toEqual([]);
    await env.poll.write('x');
    expect(came()).toEqual([CUT]);
    await env.poll.write(`\n${lines(batch(1))}`);
    expect(came()).toEqual([]);
    byStream(env, 'http://push', HELLO, sink);
    await env.poll.write(lines(batch(1)) + 'x'.repeat(2 ** 23 + 1));
    expect(came()).toEqual([batch(1), CUT]);
  });

  test.each([
    ['<h1>Log in</h1>\n', failed('answer', 0, 200)],
    [`${ERROR}\n`, UNAVAILABLE],
  ])('a line may be no batch: %s', async (text, news) => {
    byStream(env, 'http://push', HELLO, sink);
    await env.poll.write(text);
    expect(came()).toEqual([news]);
  });
});

describe('by socket', () => {
  test.each([
    ['http://push', 'ws://push/websocket'],
    ['https://push.example/x', 'wss://push.example/x/websocket'],
  ])('%s: no word of the client is in the address', (url, expected) => {
    bySocket(env, url, HELLO, sink);
    expect([env.wire.kind, env.wire.url]).toEqual(['WebSocket', expected]);
    expect(env.wire.sent).toEqual([]);
    env.wire.open();
    expect(env.wire.sent.map((text) => JSON.parse(text) as unknown)).toEqual([SAID]);
    expect(sink).not.toHaveBeenCalled();
  });

  test('each frame is a batch, or an error', () => {
    bySocket(env, 'http://push', HELLO, sink);
    env.wire.open();
    for (const value of [EMPTY, batch(2)]) env.wire.frame(JSON.stringify(value));
    env.wire.frame(ERROR);
    env.wire.frame('{"cursor":');
    env.wire.frame(new Blob(['{}']));
    expect(came()).toEqual([EMPTY, batch(2), UNAVAILABLE, failed('answer'), failed('answer')]);
  });

  test.each<[number, News]>([
    [1000, CUT],
    [1001, CUT],
    [1002, CUT],
    [1005, CUT],
    [1006, CUT],
    [1007, CUT],
    [1009, CUT],
    [1011, CUT],
    [1012, CUT],
    [1013, CUT],
    [1014, CUT],
    [1015, CUT],
    [3000, CUT],
    [4400, failed('close 4400', 0, 400, true)],
    [4404, failed('close 4404', 0, 404, true)],
    [4408, failed('close 4408', 0, 408, true)],
    [4409, failed('close 4409', 0, 409, true)],
    [4429, failed('close 4429', 0, 429, true)],
    [4503, failed('close 4503', 0, 503, true)],
  ])('closed with %d', (code, news) => {
    bySocket(env, 'http://push', HELLO, sink);
    env.wire.end(code);
    expect(came()).toEqual([news]);
    const { refused, said } = news as typeof CUT;
    expect([refused, said]).toEqual([code > 4399 && code < 4429, code >= 4000]);
  });

  test('giving up closes it', () => {
    bySocket(env, 'http://push', HELLO, sink)();
    expect(env.wire.closed).toBe(true);
  });
});

describe('by source', () => {
  const begin = (hello = HELLO) => bySource(env, 'http://push', hello, sink);
  const tell = (seq: number) => env.wire.event('message', JSON.stringify(message(seq)), p(seq));
  const signal = (type: string, more: object = {}) => env.wire.event(type, JSON.stringify({ type, ...more }));
  const joined = { channel: 'c', joined: 'b', id: 2 };

  test('asks with all it has in the address', () => {
    begin();
    expect(env.wire.kind).toBe('EventSource');
    const { origin, pathname, searchParams } = new URL(env.wire.url);
    expect(origin + pathname).toBe('http://push/sse');
    expect(Object.fromEntries(searchParams)).toEqual({ client_id: 'a_!!_k', session: 's', wait: '7', cursor: p(0) });
  });

  test('a message alone is a batch', () => {
    begin();
    tell(1);
    tell(2);
    expect(came()).toEqual([batch(1), batch(2)]);
  });

  test('a tick is an empty batch', () => {
    begin();
    env.wire.event('tick', '', p(1));
    expect(came()).toEqual([EMPTY]);
  });

  test('signals are told with all of their batch, when its end has come', () => {
    begin();
    signal('presence', joined);
    signal('skip', { channel: 'c', id: 3 });
    tell(4);
    tell(5);
    expect(came()).toEqual([]);
    env.wire.event('tick', '', p(6));
    const signals = [{ type: 'presence', ...joined }, { type: 'skip', channel: 'c', id: 3 }];
    expect(came()).toEqual([{ cursor: p(6), signals, messages: [message(4), message(5)] }]);
    expect(env.clock.pending).toEqual([]);
    tell(7);
    expect(came()).toEqual([batch(7)]);
  });

  test('however long that takes', () => {
    begin();
    signal('presence', joined);
    tell(3);
    env.clock.advance(60_000);
    tell(4);
    env.clock.advance(60_000);
    expect(came()).toEqual([]);
    env.wire.event('tick', '', p(4));
    expect(came()).toEqual([{ cursor: p(4), signals: [{ type: 'presence', ...joined }], messages: [message(3), message(4)] }]);
  });

  test('a reset has its own position', () => {
    begin();
    env.wire.event('reset', JSON.stringify({ type: 'reset', cursor: p(3) }), p(3));
    env.wire.event('tick', '', p(3));
    expect(came()).toEqual([{ cursor: p(3), signals: [{ type: 'reset', cursor: p(3) }], messages: [] }]);
  });

  test.each(['gone', 'superseded', 'drain'])('%s is told at once, and what it interrupts is not', (type) => {
    begin();
    tell(1);
    signal('presence', joined);
    tell(3);
    signal(type, { retry_ms: 7 });
    expect(came()).toEqual([batch(1), { cursor: undefined, signals: [{ type, retry_ms: 7 }], messages: [] }]);
    expect(env.clock.pending).toEqual([]);
  });

  test('what is no JSON is a failure, and moves nothing', () => {
    begin();
    env.wire.event('message', '{"channel":"c"', p(1));
    expect(came()).toEqual([failed('answer')]);
  });

  test.each([
    ['the network fails', false, false, CUT],
    ['the network fails later', true, false, CUT],
    ['the answer is no stream', false, true, failed('answer')],
    ['the stream is ended for good', true, true, CUT],
  ])('when %s the browser is not to try again', (_, begun, refused, news) => {
    begin();
    if (begun) {
      signal('presence', joined);
      tell(3);
    }
    env.wire.error(refused);
    expect(env.wire.closed).toBe(true);
    expect(came()).toEqual([news]);
    expect(env.clock.pending).toEqual([]);
  });

  test('giving up closes it, with all that it holds back', () => {
    const giveUp = begin();
    signal('presence', joined);
    tell(3);
    giveUp();
    expect(env.wire.closed).toBe(true);
    expect(env.clock.pending).toEqual([]);
    expect(came()).toEqual([]);
  });
});

describe('by call', () => {
  const query = () => new URL(env.tag.url).searchParams;

  test('asks with all it has in the address', () => {
    byCall(env, 'http://push', HELLO, sink);
    expect(env.tag.url).toMatch(/^http:\/\/push\/longpoll\?callback=shaveet_\w+&/);
    const { callback: _, ...rest } = Object.fromEntries(query());
    expect(rest).toEqual({ client_id: 'a_!!_k', session: 's', wait: '7', cursor: p(0) });
  });

  test.each(['a&b', 'a#b', 'a+b', 'a b', '100%', '%41', 'ü', 'a=b&client_id=c_!!_k'])('carries id %j', (id) => {
    byCall(env, 'http://push', { ...HELLO, clients: [{ id, key: 'k' }], cursor: undefined }, sink);
    expect(query().getAll('client_id')).toEqual([`${id}_!!_k`]);
    expect(query().has('cursor')).toBe(false);
  });

  test('gives the answer on and leaves nothing behind', () => {
    byCall(env, 'http://push', HELLO, sink);
    env.tag.run(`/**/${env.tag.callback}(${JSON.stringify(EMPTY)});`);
    expect(came()).toEqual([EMPTY]);
    expect(env.globals).toEqual({});
  });

  test('reads errors by what they say, for all have status 200', () => {
    byCall(env, 'http://push', HELLO, sink);
    env.tag.run(`/**/${env.tag.callback}(${ERROR});`);
    expect(came()).toEqual([UNAVAILABLE]);
  });

  test('a script that fails, or does not call back, is a failure', () => {
    byCall(env, 'http://push', HELLO, sink);
    env.tag.end();
    expect(came()).toEqual([CUT]);
    expect(env.globals).toEqual({});
  });
});
