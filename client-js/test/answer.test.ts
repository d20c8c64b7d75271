import { describe, expect, test } from 'vitest';
import { type Answer, failed, read, readText } from '../src/answer';
import type { Message } from '../src/types';

const text = (body: string, ok = true, retryAfter: string | null = null) => readText(body, ok ? 200 : 503, retryAfter);

/** All messages of an answer, by channel. */
function news(answer: Answer): Record<string, readonly Message[]> {
  if (answer.kind !== 'news') throw new Error(`it is ${answer.kind}`);
  return Object.fromEntries(answer.news);
}

describe('the text of an answer', () => {
  const json = '{"ch": [[1, "{\\"type\\": \\"subscribe\\"}", "a"]]}';

  test.each([
    `cb(${json});`,
    `cb(${json})`,
    `/**/cb(${json});`,
    `/**/cb(${json});\n`,
    `/**/a.b[0].$c(${json});\r\n`,
  ])('%j', (body) => {
    expect(news(text(body))).toEqual({
      ch: [
        {
          id: 1,
          client_id: 'a',
          payload: { type: 'subscribe' },
          payload_raw: '{"type": "subscribe"}',
          channelName: 'ch',
        },
      ],
    });
  });

  test('nothing to report', () => expect(news(text('/**/noop({});'))).toEqual({}));

  test('brackets and line separators in a message are its own', () => {
    const raw = ');\n*/ noop({}); \u2028 /**/';
    expect(news(text(`/**/noop(${JSON.stringify({ ch: [[1, raw, 'a']] })});`))['ch']?.[0]?.payload_raw).toBe(raw);
  });

  test.each([
    ['', 'nothing'],
    ['Not Found\r\n', 'an error text'],
    ['{"ch": []}', 'no callback'],
    ['<html>login()</html>', 'a page'],
    ['noop({"ch": [[1, "cut', 'cut short'],
    ['noop(window.close());', 'code'],
    ['noop({});noop({});', 'twice'],
    ['noop(null);', 'null'],
    ['noop(7);', 'a number'],
    ['noop([]);', 'an array'],
  ])('%j (%s) is no answer', (body) => expect(text(body)).toEqual(failed()));

  test('a status that is not good makes none of news', () => expect(text('noop({});', false)).toEqual(failed()));
});

describe('payloads', () => {
  const payload = (raw: string) => news(read({ ch: [[1, raw, 'a']] }))['ch']?.[0]?.payload;

  test.each([
    ['{"a": [1, null]}', { a: [1, null] }],
    ['"text"', 'text'],
    ['0', 0],
    ['false', false],
    ['null', null],
    ['', null],
    ['plain text', null],
    ['(function(){globalThis.PWNED=1})()', null],
    ['globalThis.PWNED=1', null],
    ['[globalThis.PWNED=1]', null],
    ["{'single': 1}", null],
    ['undefined', null],
    ['</script><script>globalThis.PWNED=1</script>', null],
  ])('%j', (raw, expected) => {
    expect(payload(raw)).toEqual(expected);
    expect(globalThis).not.toHaveProperty('PWNED');
  });

  test('__proto__ in a payload is a member', () => {
    expect(Object.keys(payload('{"__proto__": {"admin": 1}}') as object)).toEqual(['__proto__']);
    expect({}).not.toHaveProperty('admin');
  });
});

describe('channels', () => {
  const names = (answer: Answer) => (answer.kind === 'news' ? [...answer.news.keys()] : []);

  test('keep the order of the answer', () => {
    expect(names(text('noop({"b": [[1, "", "x"]], "a": [[1, "", "x"]]});'))).toEqual(['b', 'a']);
  });

  test.each(['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'error', '*', '', 'ת'])('%j from text', (name) => {
    expect(names(text(`noop({${JSON.stringify(name)}: [[1, "x", "a"]]});`))).toEqual([name]);
  });

  test('__proto__ from a script, where it became the prototype', () => {
    const value = new Function('return {"a": [[1, "x", "p"]], "__proto__": [[2, "y", "p"]]}')() as unknown;
    expect(news(read(value))).toEqual({
      a: [expect.objectContaining({ id: 1, channelName: 'a' })],
      ['__proto__']: [expect.objectContaining({ id: 2, channelName: '__proto__', payload_raw: 'y' })],
    });
  });

  test('without messages are absent', () => expect(names(read({ a: [], b: null, c: 'x', d: {} }))).toEqual([]));

  test('rows of another shape are passed over', () => {
    const rows = [null, 1, 'x', {}, [1], [1, 2, 'a'], [3, 'good', 'a']];
    expect(news(read({ ch: rows }))['ch']?.map((message) => message.id)).toEqual([3]);
  });
});

describe('errors', () => {
  const gone = 'noop({"error":{"code":404,"type":"gone","clients":["id1"]}});';

  test('gone names the clients', () => {
    expect(text(`/**/${gone}`, false)).toEqual({ kind: 'gone', clients: ['id1'] });
    expect(text(gone, true)).toEqual({ kind: 'gone', clients: ['id1'] });
  });

  test('a channel called error is a channel', () => {
    expect(news(read({ error: [[1, 'x', 'a']] }))['error']).toHaveLength(1);
  });

  test.each([
    ['noop({"error":{"code":503,"type":"unavailable","retry_ms":7000}});', null, 7000],
    ['noop({"error":{"code":429,"type":"limit"}});', '3', 3000],
    ['noop({"error":{"code":429,"retry_ms":7000}});', '3', 7000],
    ['noop({"error":{"code":429,"retry_ms":1000}});', '3', 3000],
    ['<h1>503 Service Unavailable</h1>', '120', 120_000],
    ['<h1>503 Service Unavailable</h1>', 'Wed, 21 Oct 2015 07:28:00 GMT', 0],
    ['noop({"error":{"retry_ms":"soon"}});', null, 0],
    ['noop({"error":{"type":"gone"}});', null, 0],
    ['noop({"error":{}});', null, 0],
  ])('%j and Retry-After %j: %d ms', (body, retryAfter, ms) => {
    expect(text(body, false, retryAfter)).toEqual(failed(ms));
  });
});
