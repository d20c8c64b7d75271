import { describe, expect, test } from 'vitest';
import { after, isPosition, read, readText } from '../src/batch';

const E = '00000000000000aa';
const F = '00000000000000ab';
const EMPTY = { cursor: `${E}.1`, signals: [], messages: [] };

const failed = (why: string, retryMs = 0, refused = false, said = false) => ({ why, retryMs, refused, said });

describe('positions', () => {
  test.each([
    [`${E}.10`, `${E}.9`, true],
    [`${E}.9`, `${E}.10`, false],
    [`${E}.9`, `${E}.9`, false],
    [`${E}.18446744073709551615`, `${E}.18446744073709551614`, true],
    [`${E}.18446744073709551614`, `${E}.18446744073709551615`, false],
    [`${E}.1`, `${F}.2`, true],
    [`${F}.1`, `${E}.2`, true],
    [`${E}.0`, undefined, true],
    [`${E}.0`, 'now', true],
  ])('%s after %s: %j', (a, b, is) => expect(after(a, b)).toBe(is));

  test.each([
    [`${E}.0`, true],
    [`${E}.18446744073709551615`, true],
    ['now', false],
    ['', false],
    [`${E}.`, false],
    [`${E.toUpperCase()}.1`, false],
    [`x${E}.1`, false],
    [`${E}.1x`, false],
    [undefined, false],
    [7, false],
    [{}, false],
  ])('%j is one: %j', (value, is) => expect(isPosition(value)).toBe(is));
});

describe('an answer', () => {
  test('with a batch is one', () => {
    expect(readText(JSON.stringify(EMPTY), 200, null)).toEqual(EMPTY);
  });

  test('may have no cursor, or none that is any good', () => {
    for (const cursor of [undefined, null, 'now', 7]) {
      expect(read({ ...EMPTY, cursor }, 200)).toMatchObject({ cursor: undefined });
    }
  });

  test('of another shape is a failure', () => {
    const shapes = [null, 1, 'x', [], {}, { signals: [] }, { messages: [] }, { signals: {}, messages: [] }, { error: 'x' }];
    for (const value of shapes) expect(read(value, 200)).toEqual(failed('answer'));
  });

  test.each([
    ['', 200, failed('answer')],
    ['{"cursor":"00', 200, failed('answer')],
    ['<h1>Log in</h1>', 200, failed('answer')],
    ['<h1>Bad Gateway</h1>', 502, failed('HTTP 502')],
    ['Not Found', 404, failed('HTTP 404', 0, true)],
    ['Too Many Requests', 429, failed('HTTP 429')],
    ['', 400, failed('HTTP 400', 0, true)],
    ['', 399, failed('HTTP 399')],
    [JSON.stringify(EMPTY), 500, failed('HTTP 500')],
    [JSON.stringify(EMPTY), 404, failed('HTTP 404', 0, true)],
  ])('%j with status %d', (text, status, expected) => expect(readText(text, status, null)).toEqual(expected));

  test('with 404 is a batch if it says who is gone', () => {
    const gone = { signals: [{ type: 'gone', client: 'a' }], messages: [] };
    expect(readText(JSON.stringify(gone), 404, null)).toMatchObject(gone);
  });

  test.each([
    [{ code: 503, type: 'unavailable', retry_ms: 7000 }, 503, '3', failed('unavailable', 7000, false, true)],
    [{ code: 429, type: 'limit_reached' }, 429, '3', failed('limit_reached', 3000, false, true)],
    [{ code: 400, type: 'invalid_request' }, 400, null, failed('invalid_request', 0, true, true)],
    [{ code: 400, type: 'invalid_request' }, 200, null, failed('invalid_request', 0, true, true)],
    [{ code: 503, type: 'unavailable', retry_ms: 'soon' }, 503, 'Wed, 21 Oct 2015 07:28:00 GMT', failed('unavailable', 0, false, true)],
  ])('%j with status %d and Retry-After %j', (error, status, retryAfter, expected) => {
    expect(readText(JSON.stringify({ error }), status, retryAfter)).toEqual(expected);
  });

  test.each<[unknown, number, object]>([
    [{ code: 404, message: 'no route', status: 'NOT_FOUND' }, 404, failed('HTTP 404', 3000, true)],
    [{ type: 7 }, 500, failed('HTTP 500', 3000)],
    [{ type: null }, 200, failed('answer', 3000)],
    [{}, 503, failed('HTTP 503', 3000)],
  ])("another's error %j with status %d is not the server's word", (error, status, expected) => {
    expect(readText(JSON.stringify({ error }), status, '3')).toEqual(expected);
  });

  test("Retry-After counts in a proxy's words too, which are not those of the server", () => {
    expect(readText('busy', 503, '120')).toEqual(failed('HTTP 503', 120_000));
  });

  test('that did not come is a failure', () => expect(readText('', 0, null)).toEqual(failed('network')));

  test('has no members that are not what they should be', () => {
    const good = { channel: 'c', id: 1, pos: `${E}.1` };
    const value = {
      signals: [null, 1, 'x', { type: 'of a later version' }],
      messages: [null, 1, 'x', [], {}, { channel: 'c', id: 1, pos: 'now' }, good],
    };
    expect(read(value, 200)).toMatchObject({ signals: [{ type: 'of a later version' }], messages: [good] });
  });
});
