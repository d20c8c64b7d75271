import { expect, test, vi } from 'vitest';
import { createEmitter } from '../src/emitter';

test('calls in the order of registration, and says whether there was anyone', () => {
  const emitter = createEmitter<number>();
  const calls: string[] = [];
  emitter.on('a', (value) => calls.push(`first ${value}`));
  emitter.on('a', (value) => calls.push(`second ${value}`));
  expect(emitter.emit('a', 1)).toBe(true);
  expect(emitter.emit('b', 1)).toBe(false);
  expect(calls).toEqual(['first 1', 'second 1']);
});

test('undo takes back its own registration only, once', () => {
  const emitter = createEmitter<number>();
  const listener = vi.fn();
  const undo = emitter.on('a', listener);
  emitter.on('a', listener);
  undo();
  undo();
  expect(emitter.emit('a', 1)).toBe(true);
  expect(listener).toHaveBeenCalledOnce();
});

test('a name whose last listener went has none', () => {
  const emitter = createEmitter<number>();
  emitter.on('a', vi.fn())();
  expect(emitter.emit('a', 1)).toBe(false);
});

test('an undo from before off does not touch what came after', () => {
  const emitter = createEmitter<number>();
  const undo = emitter.on('a', vi.fn());
  emitter.off('a');
  emitter.on('a', vi.fn());
  undo();
  expect(emitter.emit('a', 1)).toBe(true);
});

test('who goes during a call is not called, who comes waits for the next', () => {
  const emitter = createEmitter<number>();
  const late = vi.fn();
  const early = vi.fn();
  emitter.on('a', () => {
    undo();
    emitter.on('a', late);
  });
  const undo = emitter.on('a', early);
  emitter.emit('a', 1);
  expect(early).not.toHaveBeenCalled();
  expect(late).not.toHaveBeenCalled();
  emitter.emit('a', 2);
  expect(late).toHaveBeenCalledOnce();
});

test('a listener can ask whether it is still wanted', () => {
  const emitter = createEmitter<number>();
  const seen: boolean[] = [];
  emitter.on('a', (_, listening) => {
    seen.push(listening());
    emitter.off('a');
    seen.push(listening());
  });
  emitter.emit('a', 1);
  expect(seen).toEqual([true, false]);
});

test.each(['__proto__', 'constructor', 'hasOwnProperty', 'toString', ''])('%j is a name like any other', (name) => {
  const emitter = createEmitter<number>();
  const listener = vi.fn();
  expect(emitter.emit(name, 1)).toBe(false);
  emitter.on(name, listener);
  emitter.emit(name, 2);
  expect(listener).toHaveBeenCalledOnce();
  expect(Object.keys(Object.prototype)).toEqual([]);
});
