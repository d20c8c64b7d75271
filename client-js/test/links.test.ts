import { beforeEach, describe, expect, type Mock, test, vi } from 'vitest';
import type { News } from '../src/batch';
import { byCall, byPost, type Request } from '../src/links';
import { FakeBrowser, settled } from './fakes';

const SILENT: News = { kind: 'failed', why: 'network', retryMs: 0, refused: false };

const EMPTY = { cursor: '00000000000000aa.1', signals: [], messages: [] };
const BATCH = { kind: 'batch', batch: EMPTY };
const REQUEST: Request = { url: 'http://push', id: 'a', key: 'k', session: 's', cursor: '00000000000000aa.0', wait: 7 };

let env: FakeBrowser;
let sink: Mock<(news: News) => void>;

beforeEach(() => {
  env = new FakeBrowser();
  sink = vi.fn<(news: News) => void>();
});

describe('by post', () => {
  test('asks with all it has in the body', async () => {
    byPost(env, REQUEST, sink);
    expect(env.poll.url).toBe('http://push/longpoll');
    const body = { clients: [{ id: 'a', key: 'k' }], session: 's', cursor: '00000000000000aa.0', wait: 7 };
    expect(JSON.parse(env.poll.body!)).toEqual(body);
    expect(sink).not.toHaveBeenCalled();
    await env.poll.answer(JSON.stringify(EMPTY));
    expect(sink.mock.calls).toEqual([[BATCH]]);
  });

  test('has no cursor the first time', () => {
    byPost(env, { ...REQUEST, cursor: undefined }, sink);
    expect(Object.keys(JSON.parse(env.poll.body!) as object)).not.toContain('cursor');
  });

  test('minds status and Retry-After', async () => {
    byPost(env, REQUEST, sink);
    await env.poll.answer('busy', { status: 503, headers: { 'Retry-After': '5' } });
    expect(sink.mock.calls).toEqual([[{ kind: 'failed', why: 'HTTP 503', retryMs: 5000, refused: false }]]);
  });

  test('a network error is a failure', async () => {
    byPost(env, REQUEST, sink);
    await env.poll.fail();
    expect(sink.mock.calls).toEqual([[SILENT]]);
  });

  test('giving up closes the poll', async () => {
    byPost(env, REQUEST, sink)();
    await settled();
    expect(env.poll.signal.aborted).toBe(true);
  });
});

describe('by call', () => {
  const query = () => new URL(env.tag.url).searchParams;

  test('asks with all it has in the address', () => {
    byCall(env, REQUEST, sink);
    expect(env.tag.url).toMatch(/^http:\/\/push\/longpoll\?callback=shaveet_\w+&/);
    const { callback: _, ...rest } = Object.fromEntries(query());
    expect(rest).toEqual({ client_id: 'a_!!_k', session: 's', wait: '7', cursor: '00000000000000aa.0' });
  });

  test.each(['a&b', 'a#b', 'a+b', 'a b', '100%', '%41', 'ü', 'a=b&client_id=c_!!_k'])('carries id %j', (id) => {
    byCall(env, { ...REQUEST, id, cursor: undefined }, sink);
    expect(query().getAll('client_id')).toEqual([`${id}_!!_k`]);
    expect(query().has('cursor')).toBe(false);
  });

  test('gives the answer on and leaves nothing behind', () => {
    byCall(env, REQUEST, sink);
    env.tag.run(`/**/${env.tag.callback}(${JSON.stringify(EMPTY)});`);
    expect(sink.mock.calls).toEqual([[BATCH]]);
    expect(env.globals).toEqual({});
  });

  test('reads errors by what they say, for all have status 200', () => {
    byCall(env, REQUEST, sink);
    env.tag.run(`/**/${env.tag.callback}({"error":{"code":503,"type":"unavailable","retry_ms":9}});`);
    expect(sink.mock.calls).toEqual([[{ kind: 'failed', why: 'unavailable', retryMs: 9, refused: false }]]);
  });

  test('a script that fails, or does not call back, is a failure', () => {
    byCall(env, REQUEST, sink);
    env.tag.end();
    expect(sink.mock.calls).toEqual([[SILENT]]);
    expect(env.globals).toEqual({});
  });
});
