import { beforeEach, describe, expect, type Mock, test, vi } from 'vitest';
import { type Answer, failed } from '../src/answer';
import { byFetch, byScript } from '../src/transports';
import { FakeBrowser, settled } from './fakes';

const POLL = 'http://push/message_updates?callback=?&client_id=a_!!_k&ts=1&v=2';
const ROOM = '{"room": [[1, "hello", "bob"]]}';
const NEWS = expect.objectContaining({ kind: 'news', news: new Map([['room', [expect.anything()]]]) });

let env: FakeBrowser;
let sink: Mock<(answer: Answer) => void>;

beforeEach(() => {
  env = new FakeBrowser();
  sink = vi.fn<(answer: Answer) => void>();
});

describe('by fetch', () => {
  test('fills in a callback and gives the answer on', async () => {
    byFetch(env)(POLL, sink);
    expect(env.poll.url).toBe('http://push/message_updates?callback=noop&client_id=a_!!_k&ts=1&v=2');
    await env.poll.answer(`/**/noop(${ROOM});`);
    expect(sink.mock.calls).toEqual([[NEWS]]);
  });

  test.each([404, 429, 500, 503])('status %d without words of ours is a failure', async (status) => {
    byFetch(env)(POLL, sink);
    await env.poll.answer('Not Found\r\n', { status });
    expect(sink.mock.calls).toEqual([[failed()]]);
  });

  test('Retry-After is minded', async () => {
    byFetch(env)(POLL, sink);
    await env.poll.answer('busy', { status: 503, headers: { 'Retry-After': '5' } });
    expect(sink.mock.calls).toEqual([[failed(5000)]]);
  });

  test('a network error is a failure', async () => {
    byFetch(env)(POLL, sink);
    await env.poll.fail();
    expect(sink.mock.calls).toEqual([[failed()]]);
  });

  test('giving up closes the poll', async () => {
    byFetch(env)(POLL, sink)();
    await settled();
    expect(env.poll.signal.aborted).toBe(true);
    expect(sink.mock.calls).toEqual([[failed()]]);
  });
});

describe('by script', () => {
  /** The server's rule for callback names. */
  const GRAMMAR = /^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*|\[\d+\])*$/;

  test.each([0, 0.5, 0.123456789012345, 1 - Number.EPSILON])('names a function the server accepts (%d)', (dice) => {
    env.dice = dice;
    byScript(env)(POLL, sink);
    expect(env.tag.callback).toMatch(GRAMMAR);
    expect(env.tag.callback.length).toBeLessThanOrEqual(128);
    expect(env.tag.url).toMatch(/&v=2&jsonp=1$/);
  });

  test('leaves nothing behind where a policy forbids it', () => {
    env.script = () => {
      throw new TypeError('TrustedScriptURL');
    };
    expect(() => byScript(env)(POLL, sink)).toThrow('TrustedScriptURL');
    expect(env.globals).toEqual({});
  });

  test('every poll has a name of its own', () => {
    byScript(env)(POLL, sink);
    byScript(env)(POLL, sink);
    expect(new Set(env.tags.map((tag) => tag.callback)).size).toBe(2);
  });

  test('gives the answer on and leaves nothing behind', () => {
    byScript(env)(POLL, sink);
    expect(Object.keys(env.globals)).toEqual([env.tag.callback]);
    env.tag.run(`/**/${env.tag.callback}(${ROOM});`);
    expect(sink.mock.calls).toEqual([[NEWS]]);
    expect(env.globals).toEqual({});
  });

  test('a script that fails, or does not call back, is a failure and leaves nothing behind', () => {
    byScript(env)(POLL, sink);
    env.tag.end();
    expect(sink.mock.calls).toEqual([[failed()]]);
    expect(env.globals).toEqual({});
  });

  test('given up: the tag goes; the function stays for the script under way, and then goes too', () => {
    byScript(env)(POLL, sink)();
    expect(env.tag.onPage).toBe(false);
    env.tag.run(`/**/${env.tag.callback}(${ROOM});`);
    expect(sink.mock.calls).toEqual([[NEWS]]);
    expect(env.globals).toEqual({});
  });

  test('given up and failed: the function goes', () => {
    byScript(env)(POLL, sink)();
    env.tag.end();
    expect(env.globals).toEqual({});
  });

  test('errors in the answer are understood', () => {
    byScript(env)(POLL, sink);
    env.tag.run(`/**/${env.tag.callback}({"error":{"code":404,"type":"gone","clients":["a"]}});`);
    expect(sink.mock.calls).toEqual([[{ kind: 'gone', clients: ['a'] }]]);
  });

  test('messages that close the script stay messages', () => {
    byScript(env)(POLL, sink);
    const text = '</script><script>window.PWNED=1</script>\u2028';
    env.tag.run(`/**/${env.tag.callback}(${JSON.stringify({ room: [[1, text, 'bob']] })});`);
    expect(sink.mock.calls[0]?.[0]).toMatchObject({ news: new Map([['room', [{ payload_raw: text }]]]) });
  });
});
