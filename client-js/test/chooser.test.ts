import { beforeEach, describe, expect, test } from 'vitest';
import { type Chooser, createChooser } from '../src/chooser';
import type { TransportName } from '../src/types';
import { FakeBrowser } from './fakes';

const ALL: TransportName[] = ['websocket', 'sse', 'stream', 'longpoll', 'jsonp'];
const MINUTE = 60_000;

let env: FakeBrowser;
let chooser: Chooser;

beforeEach(() => {
  env = new FakeBrowser();
  begin();
});

/** A page is loaded. */
function begin(names = ALL, hold = 25_000): void {
  chooser = createChooser(env, names, hold, 'place');
  chooser.restart();
}

/** It fails without having brought anything. What is used then, or `wait`; after the wait all begins anew. */
function fails(broken = false, refused = false): TransportName | 'wait' {
  if (chooser.failed(broken, refused)) return chooser.current();
  chooser.restart();
  return 'wait';
}
const breaks = () => fails(true);

function opens(): void {
  chooser.heard(true);
}
/** It has opened, and lives long enough. */
function proves(): void {
  opens();
  env.clock.now += 15_000;
  chooser.heard(false);
}
/** All of a round fail. */
function round(): (TransportName | 'wait')[] {
  const list: (TransportName | 'wait')[] = [chooser.current()];
  while (list[list.length - 1] !== 'wait') list.push(fails());
  return list;
}
/** Goes on to a transport, which the others do not let happen. */
function reach(name: TransportName): void {
  while (chooser.current() !== name) fails();
}

describe('who does not open', () => {
  test('is followed by the next at once, and the last by a wait', () => {
    expect(round()).toEqual([...ALL, 'wait']);
    expect(chooser.current()).toBe('websocket');
  });

  test('is followed by one other only, if all have failed: the server is down', () => {
    round();
    expect([round(), round(), round(), round(), round(), round()]).toEqual([
      ['websocket', 'sse', 'wait'],
      ['websocket', 'stream', 'wait'],
      ['websocket', 'longpoll', 'wait'],
      ['websocket', 'jsonp', 'wait'],
      ['websocket', 'wait'],
      ['websocket', 'sse', 'wait'],
    ]);
  });

  test('is followed by all others, once one has opened', () => {
    round();
    reach('sse');
    proves();
    expect([breaks(), fails()]).toEqual(['wait', 'wait']);
    expect(round()).toEqual(['sse', 'stream', 'longpoll', 'jsonp', 'websocket', 'wait']);
  });

  test('may be the only one', () => {
    begin(['websocket']);
    expect([round(), round()]).toEqual([
      ['websocket', 'wait'],
      ['websocket', 'wait'],
    ]);
  });
});

describe('who has opened', () => {
  test('is forgiven when it breaks, but not when it cannot be opened then', () => {
    opens();
    expect(breaks()).toBe('wait');
    expect(chooser.current()).toBe('websocket');
    expect(fails()).toBe('sse');
  });

  test('is forgiven twice when it breaks at once', () => {
    const list = [0, 1, 2].map(() => (opens(), breaks()));
    expect(list).toEqual(['wait', 'wait', 'sse']);
  });

  test('and breaks for the third time in a row is followed by those behind it: two streams do not hand on to each other for ever', () => {
    const list = [];
    while (chooser.current() !== 'longpoll' && list.length < 20) list.push((opens(), breaks()));
    expect(list).toEqual(['wait', 'wait', 'sse', 'wait', 'wait', 'stream', 'wait', 'wait', 'longpoll']);
  });

  test('and falls silent is followed by the next at once, unless it was proved', () => {
    opens();
    expect(fails()).toBe('sse');
    proves();
    expect(fails()).toBe('wait');
    expect(chooser.current()).toBe('sse');
  });

  test('begins the next round', () => {
    reach('stream');
    opens();
    expect(breaks()).toBe('wait');
    expect(chooser.current()).toBe('stream');
  });
});

describe('who was proved', () => {
  test('is forgiven twice, and proves itself anew', () => {
    for (let i = 0; i < 3; i++) {
      proves();
      expect([breaks(), fails()]).toEqual(['wait', 'wait']);
      expect(chooser.current()).toBe('websocket');
    }
    expect(fails()).toBe('sse');
  });

  test('is not forgiven where it is refused', () => {
    proves();
    expect(fails(false, true)).toBe('sse');
  });

  test('stays the first to be tried while all are down', () => {
    proves();
    round();
    round();
    expect(round()).toEqual(['websocket', 'sse', 'stream', 'longpoll', 'jsonp', 'wait']);
    expect(round()[0]).toBe('websocket');
  });

  test.each([
    [25_000, 14_999, false],
    [25_000, 15_000, true],
    [2000, 1999, false],
    [2000, 2000, true],
    [0, 0, true],
  ])('has lived for a while (%d ms of silence allowed, %d lived): %j', (hold, ms, proved) => {
    begin(ALL, hold);
    opens();
    env.clock.now += ms;
    chooser.heard(false);
    expect(fails()).toBe(proved ? 'wait' : 'sse');
  });
});

describe('memory', () => {
  test('the next page begins with what has opened', () => {
    reach('longpoll');
    begin();
    expect(chooser.current()).toBe('websocket');
    reach('longpoll');
    opens();
    begin();
    expect(round()).toEqual(['longpoll', 'jsonp', 'websocket', 'sse', 'stream', 'wait']);
    expect([...env.storage!.keys()]).toEqual([]);
    expect([...env.shared!.keys()]).toEqual(['place']);
  });

  test('the better ones get their chance again, and lose it for as long if they fail', () => {
    reach('longpoll');
    proves();
    env.clock.now += 9 * MINUTE;
    expect(breaks()).toBe('wait');
    expect(chooser.current()).toBe('longpoll');
    proves();
    env.clock.now += MINUTE;
    expect(breaks()).toBe('wait');
    expect(chooser.current()).toBe('websocket');
    expect(fails()).toBe('longpoll');
    proves();
    env.clock.now += 9 * MINUTE;
    breaks();
    expect(chooser.current()).toBe('longpoll');
    begin();
    expect(chooser.current()).toBe('longpoll');
    env.clock.now += MINUTE;
    begin();
    expect(chooser.current()).toBe('websocket');
    opens();
    breaks();
    expect(chooser.current()).toBe('websocket');
  });

  test.each([
    ['nothing', undefined],
    ['rubbish', 'x'],
    ['null', 'null'],
    ['another name', '{"name":"carrier pigeon","since":1700000000000}'],
    ['no name', '{"since":1700000000000}'],
    ['one that is not wanted', '{"name":"jsonp","since":1700000000000}'],
    ['no time', '{"name":"stream"}'],
    ['a time that is none', '{"name":"stream","since":"x"}'],
    ['a time long ago', '{"name":"stream","since":1600000000000}'],
    ['a time far ahead', '{"name":"stream","since":1900000000000}'],
  ])('of %s is none', (_, kept) => {
    if (kept !== undefined) env.shared!.set('place', kept);
    begin(ALL.slice(0, 4));
    expect(chooser.current()).toBe('websocket');
  });

  test('may be forbidden', () => {
    env.shared = undefined;
    begin();
    reach('sse');
    proves();
    begin();
    expect(chooser.current()).toBe('websocket');
  });
});
