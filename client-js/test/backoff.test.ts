import { expect, test } from 'vitest';
import { backoff } from '../src/backoff';

test('the limit doubles from one second to twenty and stays there', () => {
  const limits = [0, 1, 2, 3, 4, 5, 6, 100, 5000].map((failures) => backoff(failures, () => 1));
  expect(limits).toEqual([1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000, 20000]);
});

test('the full range below the limit is used', () => {
  expect(backoff(3, () => 0)).toBe(0);
  expect(backoff(3, () => 0.25)).toBe(2000);
});
