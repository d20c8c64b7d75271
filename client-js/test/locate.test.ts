import { describe, expect, test } from 'vitest';
import { find } from '../src/locate';

test.each([
  ['http://host:8082/static/shaveet.js', 'http://host:8082', false],
  ['http://host:8082/static/shaveet.js?disableCORS=1', 'http://host:8082', true],
  ['http://host:8082/static/shaveet.js?disableIECORS=1', 'http://host:8082', false],
  ['http://host/static/shaveet.js?disableIECORS=1&disableCORS=1', 'http://host', true],
  ['http://host/static/shaveet.js?disableCORS=1#x', 'http://host', true],
  ['http://host/static/shaveet.js?disableCORS=0', 'http://host', false],
  ['http://host/static/shaveet.js#disableCORS', 'http://host', false],
  ['https://host/push/static/shaveet.js?v=7', 'https://host/push', false],
])('%s', (source, base, jsonp) => {
  expect(find([source], 'url')).toEqual({ base, jsonp });
});

describe('of several scripts', () => {
  test('the first that fits counts', () => {
    const sources = ['', 'http://a/jquery.js', 'http://b/static/shaveet.js?disableCORS=1', 'http://c/static/shaveet.js'];
    expect(find(sources, 'url')).toEqual({ base: 'http://b', jsonp: true });
  });

  test('a query that names the path does not fit', () => {
    expect(() => find(['http://a/log?of=/static/shaveet.js'], 'url')).toThrow(/^url is not set/);
  });
});
