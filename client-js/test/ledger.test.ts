import { beforeEach, describe, expect, test } from 'vitest';
import type { Batch } from '../src/batch';
import { type Audience, createLedger, type Ledger } from '../src/ledger';
import type { ChannelMessage } from '../src/types';

const p = (seq: number, epoch = 'aa') => `00000000000000${epoch}.${seq}`;

/** What was told, in order: a message as its channel and id, a gap and a presence as they are. */
let told: unknown[];
let left: boolean;
let onMessage: () => void;
/** Gets each gap and presence. */
let onSignal: (what: unknown) => void;
let ledger: Ledger;

const audience: Audience = {
  gap: (gap) => (told.push(gap), onSignal(gap)),
  presence: (presence) => (told.push(presence), onSignal(presence)),
  message({ channel, id }) {
    told.push(`${channel} ${id}`);
    onMessage();
  },
  listening: () => !left,
};

beforeEach(() => {
  told = [];
  left = false;
  onMessage = onSignal = () => {};
});

const begin = (cursor?: string, channels?: unknown) => (ledger = createLedger(audience, cursor, channels));
/** The same after a reload. */
const again = () => begin(ledger.cursor(), JSON.parse(JSON.stringify(ledger.channels())));

const message = (seq: number, id: number, channel = 'c', epoch = 'aa'): ChannelMessage => ({
  channel,
  id,
  pos: p(seq, epoch),
  sender: 'x',
  data: seq,
  time: 0,
});

/** Gives a batch and returns what was told of it. */
function take(cursor: string | undefined, signals: object[], ...messages: ChannelMessage[]): unknown[] {
  told = [];
  ledger.take({ cursor, signals, messages } as unknown as Batch);
  return told;
}

const skip = (id: number, channel = 'c') => ({ type: 'skip', channel, id });
const joined = (id: number, channel = 'c', who = 'bob') => ({ type: 'presence', channel, joined: who, id });
const gap = (from: number, to: number, channel = 'c') => ({ type: 'gap', channel, from: p(from), to: p(to), reason: 'age' });
const resync = (to: number, channel = 'c') => ({ type: 'presence', channel, resync: true, to: p(to) });
const channels = (list: Record<string, [since: string, id: number]>) => ({
  type: 'channels',
  channels: Object.fromEntries(Object.entries(list).map(([name, [since, id]]) => [name, { since, id }])),
});
const hole = (reason: string, from: string | undefined, to: string | undefined, channel: string | undefined = 'c') => ({
  channel,
  from,
  to,
  reason,
});

/** A ledger at position 10 that has had number 5 of channel c, of which it is a member since 1. */
function running() {
  begin(p(9));
  take(p(10), [channels({ c: [p(1), 0] })], message(10, 5));
}

describe('the cursor', () => {
  test('is the one given, then that of each batch', () => {
    begin('now');
    expect(ledger.cursor()).toBe('now');
    take(p(3), []);
    expect(ledger.cursor()).toBe(p(3));
    take(undefined, []);
    expect(ledger.cursor()).toBe(p(3));
  });

  test('never goes back', () => {
    begin(p(10));
    take(p(9), []);
    expect(ledger.cursor()).toBe(p(10));
  });

  test('moves with each message, so that who leaves in the middle has had what it was given', () => {
    running();
    onMessage = () => (left = true);
    expect(take(p(13), [], message(11, 6), message(12, 7))).toEqual(['c 6']);
    expect(ledger.cursor()).toBe(p(11));
    left = false;
    again();
    onMessage = () => {};
    expect(take(p(13), [], message(12, 7))).toEqual(['c 7']);
  });

  test('stays for who leaves at a signal, who gets all of them again', () => {
    const signals = [gap(10, 11), joined(8), gap(10, 11, 'd'), joined(1, 'd')];
    const all = [hole('age', p(10), p(11)), joined(8), hole('age', p(10), p(11), 'd'), joined(1, 'd'), hole('ids', p(10), p(13), 'e'), 'c 9'];
    const begins = channels({ c: [p(1), 0], e: [p(10), 5] });
    for (let i = 0; i < 5; i++) {
      running();
      let n = 0;
      onSignal = () => (left = n++ === i || left);
      expect(take(p(13), [begins, ...signals, skip(7, 'e')], message(12, 9))).not.toContain('c 9');
      expect(ledger.cursor()).toBe(p(10));
      left = false;
      onSignal = () => {};
      again();
      expect(take(p(13), [begins, ...signals, skip(7, 'e')], message(12, 9)), `${i}`).toEqual(all);
      expect(ledger.cursor()).toBe(p(13));
    }
  });

  test('stays in its life of the log for who leaves at a reset', () => {
    running();
    onSignal = () => (left = true);
    take(p(3, 'bb'), [{ type: 'reset', cursor: p(0, 'bb') }]);
    expect(ledger.cursor()).toBe(p(10));
    left = false;
    expect(take(p(3, 'bb'), [{ type: 'reset', cursor: p(0, 'bb') }])).toEqual([hole('reset', p(10), p(0, 'bb'))]);
  });

  test.each([
    ['a message', p(11), [], [message(11, 6)], true],
    ['a signal and a step', p(11), [joined(6)], [], true],
    ['a signal and no step', p(10), [{ type: 'presence', channel: 'c', count: 3 }], [], false],
    ['a step alone', p(11), [], [], false],
    ['nothing', p(10), [], [], false],
    ['what has come before', p(10), [], [message(10, 5)], false],
  ])('%s brings us further: see', (_, cursor, signals, messages, expected) => {
    running();
    expect(ledger.take({ cursor, signals, messages } as unknown as Batch)).toBe(expected);
  });
});

describe('messages', () => {
  test('that have come before are dropped by their position', () => {
    running();
    expect(take(p(12), [], message(9, 4), message(10, 5), message(11, 6), message(11, 6), message(12, 7))).toEqual(['c 6', 'c 7']);
    expect(take(p(12), [], message(11, 6), message(12, 7))).toEqual([]);
  });

  test('of another life of the log are new whatever their seq', () => {
    running();
    take(p(0, 'bb'), [{ type: 'reset', cursor: p(0, 'bb') }, channels({ c: [p(0, 'bb'), 0] })]);
    expect(take(p(2, 'bb'), [], message(2, 1, 'c', 'bb'))).toEqual(['c 1']);
  });

  test('seq may be larger than a number can tell', () => {
    begin(p(1).replace(/1$/, '9007199254740992'));
    const next = { ...message(0, 1), pos: p(1).replace(/1$/, '9007199254740993') };
    expect(take(next.pos, [], next)).toEqual(['c 1']);
    expect(take(next.pos, [], next)).toEqual([]);
  });
});

describe('volatile messages', () => {
  const volatile = (seq: number, id: number, channel = 'c'): ChannelMessage => ({ ...message(seq, id, channel), volatile: true });

  test.each<[string, object[], ChannelMessage[]]>([
    ['by itself', [], [volatile(11, 5)]],
    ['between others', [], [message(11, 6), volatile(12, 6), volatile(13, 6), message(14, 7)]],
    ['before others, which it has the number of the last of', [skip(6)], [volatile(12, 6), message(13, 7)]],
    ['of a channel on which nothing has been said', [], [volatile(11, 0, 'd'), message(12, 6), message(13, 1, 'd'), message(14, 2, 'd')]],
    ['after a gap, whose end it does not tell', [gap(10, 20)], [volatile(21, 16), message(22, 17), message(23, 18)]],
  ])('%s: are told, and neither make a hole nor hide one', (_, signals, messages) => {
    running();
    take(p(30), signals, ...messages);
    expect(told.filter((thing) => (thing as { reason?: string }).reason === 'ids')).toEqual([]);
    expect(told.filter((thing) => typeof thing === 'string')).toEqual(messages.map(({ channel, id }) => `${channel} ${id}`));
    const { id } = [...messages].reverse().find(({ channel }) => channel === 'c')!;
    expect(take(p(31), [], message(31, id + 2))).toEqual([hole('ids', p(30), p(31)), `c ${id + 2}`]);
  });

  test('are dropped when they come again, and move the cursor', () => {
    running();
    onMessage = () => (left = true);
    expect(take(p(13), [], volatile(11, 5), message(12, 6))).toEqual(['c 5']);
    expect(ledger.cursor()).toBe(p(11));
    left = false;
    again();
    onMessage = () => {};
    expect(take(p(13), [], volatile(11, 5), message(12, 6))).toEqual(['c 6']);
    expect(ledger.take({ cursor: p(14), signals: [], messages: [volatile(14, 6)] })).toBe(true);
  });
});

describe('numbers', () => {
  test.each<[string, object[], ChannelMessage[]]>([
    ['the next', [], [message(11, 6)]],
    ['the next ones', [], [message(11, 6), message(12, 7), message(13, 8)]],
    ['with a skip between', [skip(7)], [message(11, 6), message(13, 8)]],
    ['with a notice between', [joined(7)], [message(11, 6), message(13, 8)]],
    ['past nine', [skip(10)], [message(11, 6), message(12, 7), message(13, 8), message(14, 9), message(16, 11)]],
    ['signals alone', [joined(6), skip(7)], []],
    ['signals that repeat', [skip(5), joined(6), joined(6), skip(4)], [message(12, 7)]],
    ['of another channel', [], [message(11, 77, 'd'), message(12, 6)]],
    ['after lost notices', [resync(20)], [message(11, 7), message(13, 9)]],
    ['after lost notices, from the first that is beyond them', [resync(12)], [message(11, 7), message(13, 9), message(14, 10)]],
    ['after a gap', [gap(10, 20)], [message(21, 17)]],
    ['after a gap, with notices within', [gap(10, 20), joined(9)], [message(21, 17), message(22, 18)]],
  ])('%s: in order', (_, signals, messages) => {
    running();
    expect(take(p(30), signals, ...messages).filter((thing) => (thing as { reason?: string }).reason === 'ids')).toEqual([]);
    expect(told.filter((thing) => typeof thing === 'string')).toHaveLength(messages.length);
  });

  test.each<[string, object[], ChannelMessage[]]>([
    ['one missing', [], [message(12, 7)]],
    ['one missing between', [], [message(11, 6), message(12, 8)]],
    ['one missing before a skip', [skip(7)], []],
    ['one missing before a notice', [joined(8)], [message(11, 6)]],
    ['one that was there', [], [message(11, 5)]],
    ['one twice', [], [message(11, 6), message(12, 6)]],
    ['one twice and one missing', [], [message(11, 6), message(12, 6), message(13, 8)]],
    ['no number', [], [{ ...message(11, 6), id: undefined as unknown as number }]],
    ['a gap of another channel', [gap(10, 20, 'd')], [message(11, 7)]],
    ['lost notices of another channel', [resync(20, 'd')], [message(11, 7)]],
    ['after lost notices, from the first that is beyond them', [resync(12)], [message(11, 7), message(13, 9), message(14, 11)]],
    ['after a gap, a skip that does not follow', [gap(10, 12), skip(17)], [message(13, 15)]],
  ])('%s: a hole, before the messages, which are told all the same', (_, signals, messages) => {
    running();
    take(p(30), signals, ...messages);
    const at = told.findIndex((thing) => (thing as { reason?: string }).reason === 'ids');
    expect(told[at]).toEqual(hole('ids', p(10), p(30)));
    const texts = told.filter((thing) => typeof thing === 'string');
    expect(texts).toHaveLength(messages.length);
    expect(told.slice(at + 1)).toEqual(texts);
  });

  test('go on after a hole', () => {
    running();
    take(p(12), [], message(12, 7));
    expect(take(p(13), [], message(13, 8))).toEqual(['c 8']);
    expect(take(p(15), [], message(15, 10))).toEqual([hole('ids', p(13), p(15)), 'c 10']);
  });

  test('after a gap the next is taken as it is, once, also in a later batch', () => {
    running();
    expect(take(p(20), [gap(10, 20)])).toEqual([hole('age', p(10), p(20))]);
    expect(take(p(21), [], message(21, 17))).toEqual(['c 17']);
    expect(take(p(23), [], message(23, 19))).toEqual([hole('ids', p(21), p(23)), 'c 19']);
  });

  test('of a first visit may begin anywhere, for the oldest may not be kept any more', () => {
    begin();
    expect(take(p(10), [channels({ c: [p(1), 0], d: [p(2), 0] })], message(10, 5))).toEqual(['c 5']);
    expect(take(p(12), [], message(12, 9, 'd'))).toEqual(['d 9']);
    // Of a lost notice between 5 and 7, before position 10, nobody has told.
    expect(take(p(14), [], message(14, 7))).toEqual(['c 7']);
    expect(take(p(16), [], message(16, 9))).toEqual([hole('ids', p(14), p(16)), 'c 9']);
  });

  test.each<[string, object]>([
    ['a gap', gap(10, 20)],
    ['lost notices', resync(20)],
  ])('%s may reach beyond the last number that comes with it', (_, signal) => {
    running();
    take(p(25), [signal], message(11, 6));
    expect(take(p(26), [], message(26, 9))).toEqual(['c 9']);
    expect(take(p(28), [], message(28, 11))).toEqual([hole('ids', p(26), p(28)), 'c 11']);
  });

  test.each<[string, string | undefined, object[]]>([
    ['a gap', p(4), [{ ...gap(4, 11) }]],
    ['lost notices', p(4), [resync(11)]],
    ['a first visit', undefined, [channels({ c: [p(1), 0] })]],
    ['a visit that begins now', 'now', [channels({ c: [p(1), 0] })]],
  ])('%s covers what is missing before the first message after it, whatever signals told', (_, cursor, signals) => {
    begin(cursor);
    take(p(11), [...signals, joined(2)]);
    expect(take(p(11), [joined(2)])).toEqual([]);
    again();
    expect(take(p(12), [joined(5)])).toEqual([joined(5)]);
    expect(take(p(13), [], message(13, 8))).toEqual(['c 8']);
    expect(take(p(15), [], message(15, 10))).toEqual([hole('ids', p(13), p(15)), 'c 10']);
  });

  test('may be missing up to the later of two ends', () => {
    running();
    take(p(12), [gap(10, 20), resync(15)]);
    expect(take(p(18), [], message(16, 9), message(18, 12))).toEqual(['c 9', 'c 12']);
    expect(take(p(21), [], message(21, 15))).toEqual(['c 15']);
  });

  test('of who left in the middle are not missed up to where the batch ended', () => {
    running();
    onMessage = () => (left = true);
    take(p(15), [skip(7), joined(9)], message(11, 6, 'c'), message(12, 1, 'd'), message(14, 8));
    left = false;
    onMessage = () => {};
    again();
    expect(take(p(15), [joined(9)], message(12, 1, 'd'), message(14, 8))).toEqual(['d 1', 'c 8']);
    expect(take(p(16), [], message(16, 10))).toEqual(['c 10']);
    expect(take(p(18), [], message(18, 12))).toEqual([hole('ids', p(16), p(18)), 'c 12']);
  });

  test('in great quantity take no time', () => {
    running();
    const signals = Array.from({ length: 100_000 }, (_, i) => joined(6 + i));
    expect(take(p(20), [...signals, ...signals])).toHaveLength(100_000);
  });

  test('of who begins now too', () => {
    begin('now');
    expect(take(p(10), [channels({ c: [p(1), 0] })])).toEqual([]);
    expect(take(p(12), [], message(12, 9))).toEqual(['c 9']);
  });

  test('of a channel that begins for us while we listen begin with the first', () => {
    running();
    take(p(12), [channels({ c: [p(1), 0], d: [p(11), 40] }), joined(41, 'd', 'me')]);
    expect(take(p(13), [], message(13, 42, 'd'))).toEqual(['d 42']);
    take(p(15), [channels({ c: [p(1), 0], d: [p(11), 40], e: [p(14), 7] })]);
    expect(take(p(16), [], message(16, 9, 'e'))).toEqual([hole('ids', p(15), p(16), 'e'), 'e 9']);
  });

  test('of a channel that begins exactly where we are too', () => {
    running();
    take(p(11), [channels({ c: [p(1), 0], d: [p(10), 40] })]);
    expect(take(p(13), [], message(13, 42, 'd'))).toEqual([hole('ids', p(11), p(13), 'd'), 'd 42']);
  });

  test('of a channel that began before where we are, unknown to us, begin anywhere', () => {
    begin(p(10));
    take(p(11), [channels({ c: [p(1), 0] })]);
    expect(take(p(12), [], message(12, 9))).toEqual(['c 9']);
  });
});

describe('gap', () => {
  test('is told once, and again if it has grown', () => {
    running();
    expect(take(p(12), [gap(10, 20)])).toEqual([hole('age', p(10), p(20))]);
    expect(take(p(15), [gap(12, 20)])).toEqual([]);
    expect(take(p(16), [gap(15, 25)])).toEqual([hole('age', p(15), p(25))]);
  });

  test('excuses missing numbers also when it is repeated', () => {
    running();
    take(p(12), [gap(10, 20), joined(6)]);
    expect(take(p(22), [gap(12, 20)], message(22, 30))).toEqual(['c 30']);
  });

  test('begins where the server says', () => {
    running();
    expect(take(p(12), [gap(11, 20)])).toEqual([hole('age', p(11), p(20))]);
  });

  test('without an end is none', () => {
    running();
    expect(take(p(12), [{ type: 'gap', channel: 'c', from: p(1), reason: 'age' }])).toEqual([]);
  });
});

describe('channels', () => {
  test('that we know are nothing new', () => {
    running();
    expect(take(p(11), [channels({ c: [p(1), 0] })], message(11, 6))).toEqual(['c 6']);
    expect(take(p(12), [channels({ c: [p(1), 0] })], message(12, 8))).toEqual([hole('ids', p(11), p(12)), 'c 8']);
  });

  test('that we know, from a newer beginning on, have a hole up to it, told once', () => {
    running();
    const again = channels({ c: [p(20), 15] });
    expect(take(p(22), [again, joined(16, 'c', 'me')], message(22, 17))).toEqual([
      hole('rejoin', p(10), p(20)),
      joined(16, 'c', 'me'),
      'c 17',
    ]);
    expect(take(p(23), [again], message(23, 18))).toEqual(['c 18']);
    expect(take(p(25), [again], message(25, 20))).toEqual([hole('ids', p(23), p(25)), 'c 20']);
  });

  test('that we know, from a newer beginning on that a batch does not come up to: the hole is told once', () => {
    running();
    const again = channels({ c: [p(20), 15] });
    expect(take(p(15), [again], message(15, 1, 'd'))).toEqual([hole('rejoin', p(10), p(20)), 'd 1']);
    expect(take(p(22), [again], message(22, 17))).toEqual([hole('ids', p(15), p(22)), 'c 17']);
  });

  test('that we know by what was said on them have a hole only if they begin where we have not been', () => {
    begin(p(10));
    take(p(11), [], message(11, 6));
    expect(take(p(13), [channels({ c: [p(1), 0] })], message(13, 8))).toEqual([hole('ids', p(11), p(13)), 'c 8']);
    begin(p(10));
    take(p(11), [], message(11, 6));
    expect(take(p(13), [channels({ c: [p(12), 7] })], message(13, 8))).toEqual([hole('rejoin', p(11), p(12)), 'c 8']);
  });

  test('are no news of a first visit, also after other signals', () => {
    for (const cursor of [undefined, 'now']) {
      begin(cursor);
      expect(take(p(10), [joined(2), channels({ c: [p(1), 0] })])).toEqual([joined(2)]);
    }
  });

  test('that we have left are forgotten: no hole when we join again', () => {
    running();
    take(p(11), [channels({})]);
    expect(take(p(22), [channels({ c: [p(20), 15] })], message(22, 16))).toEqual(['c 16']);
  });

  test('that were dropped and begin anew count from one', () => {
    running();
    take(p(11), [channels({})]);
    expect(take(p(22), [channels({ c: [p(20), 0] }), joined(1)], message(22, 2))).toEqual([joined(1), 'c 2']);
  });

  test('may be called anything', () => {
    begin(p(1));
    const list = JSON.parse(`{"__proto__":{"since":"${p(2)}","id":4},"constructor":{"since":"${p(2)}","id":4}}`) as object;
    take(p(3), [{ type: 'channels', channels: list }]);
    for (const name of ['__proto__', 'constructor']) {
      expect(take(p(5), [], message(5, 5, name)), name).toEqual([`${name} 5`]);
      begin(p(3), ledger.channels());
    }
  });

  test.each([null, 7, { c: null }, { c: 7 }, { c: { since: 'x' } }])('%j harms nothing', (list) => {
    running();
    expect(take(p(11), [{ type: 'channels', channels: list }], message(11, 6))).toEqual(['c 6']);
  });
});

describe('reset', () => {
  const reset = { type: 'reset', cursor: p(0, 'bb') };

  test('is a hole in each channel that is known, and a new beginning for numbers', () => {
    running();
    take(p(11), [], message(11, 1, 'd'));
    expect(take(p(4, 'bb'), [reset, channels({ c: [p(1, 'bb'), 0] })], message(3, 1, 'c', 'bb'))).toEqual([
      hole('reset', p(11), p(0, 'bb')),
      hole('reset', p(11), p(0, 'bb'), 'd'),
      'c 1',
    ]);
    expect(ledger.cursor()).toBe(p(4, 'bb'));
    // Of what there was before position 4 not all may have been told.
    expect(take(p(6, 'bb'), [], message(6, 3, 'c', 'bb'))).toEqual(['c 3']);
    expect(take(p(8, 'bb'), [], message(8, 5, 'c', 'bb'))).toEqual([hole('ids', p(6, 'bb'), p(8, 'bb')), 'c 5']);
  });

  test('is a hole anywhere if nothing is known', () => {
    begin(p(10));
    expect(take(p(0, 'bb'), [reset])).toEqual([{ channel: undefined, from: p(10), to: p(0, 'bb'), reason: 'reset' }]);
  });

  test('goes back in the same life too', () => {
    running();
    take(p(2), [{ type: 'reset', cursor: p(0) }], message(2, 1));
    expect(told).toEqual([hole('reset', p(10), p(0)), 'c 1']);
    expect(ledger.cursor()).toBe(p(2));
    take(p(1), [{ type: 'reset', cursor: p(0) }]);
    expect(ledger.cursor()).toBe(p(1));
  });

  test('without a position is none', () => {
    running();
    expect(take(p(11), [{ type: 'reset' }], message(11, 6))).toEqual(['c 6']);
  });
});

describe('presence', () => {
  test('is told as it came, and what is repeated is not', () => {
    running();
    const left = { type: 'presence', channel: 'c', left: 'bob', reason: 'idle', id: 7 };
    expect(take(p(12), [joined(6), left])).toEqual([joined(6), left]);
    expect(take(p(12), [joined(6), left])).toEqual([]);
  });

  test.each([{ count: 5 }, { resync: true, to: p(7) }])('%j has no number and is told each time', (what) => {
    running();
    const signal = { type: 'presence', channel: 'c', ...what };
    expect(take(p(11), [signal])).toEqual([signal]);
    expect(take(p(12), [signal])).toEqual([signal]);
  });
});

test('signals of a later version are passed over', () => {
  running();
  expect(take(p(11), [{ type: 'x' }, {}], message(11, 6))).toEqual(['c 6']);
});

test('what is kept goes on where it was', () => {
  running();
  take(p(12), [gap(10, 12)], message(12, 9));
  again();
  expect(take(p(13), [gap(10, 12), channels({ c: [p(1), 0] })])).toEqual([]);
  expect(take(p(14), [channels({ c: [p(14), 20] })])).toEqual([hole('rejoin', p(13), p(14))]);
});

const since = p(1);
test.each<[unknown]>([
  [undefined],
  [null],
  [7],
  [{}],
  [[7, null, 'c', {}, [], ['c'], ['c', null], ['c', 7], ['c', [since]], [7, { since }]]],
  [[['c', { since: 1 }], ['c', { since: null }], ['c', { since, id: '5' }], ['c', { told: {} }], ['c', { unsure: 7 }]]],
])('channels %j count as none', (kept) => {
  begin(p(1), kept);
  expect(ledger.channels()).toEqual([]);
  expect(take(p(2), [], message(2, 9))).toEqual(['c 9']);
});

test('of channels that are kept, those count that are', () => {
  begin(p(1), [7, ['c', { since, id: 5 }], ['d', { id: 'x' }]]);
  expect(ledger.channels()).toEqual([['c', { since, id: 5 }]]);
});
