import { beforeEach, describe, expect, test } from 'vitest';
import { type Answer, failed, read } from '../src/answer';
import { createPoller, type Poller } from '../src/poller';
import { FakeBrowser, FakeTransport } from './fakes';

let env: FakeBrowser;
let server: FakeTransport;
let poller: Poller;
let heard: string[];
let gone: string[];
let onGone: (id: string) => void;

beforeEach(() => {
  env = new FakeBrowser();
  server = new FakeTransport();
  heard = [];
  gone = [];
  onGone = () => {};
  poller = createPoller({
    env,
    base: () => 'http://push',
    transport: () => server.transport,
    onNews: (news) => news.forEach((messages) => messages.forEach((message) => heard.push(message.payload_raw))),
    onGone(id) {
      gone.push(id);
      onGone(id);
    },
  });
});

const empty = read({});
const message = (text: string) => read({ room: [[1, text, 'a']] });
const refuse = (...clients: unknown[]): Answer => ({ kind: 'gone', clients });
const ids = () => server.poll.url.searchParams.getAll('client_id');
const open = () => server.polls.filter((poll) => poll.open).length;

/** A poller that polls for `a`. */
function started() {
  poller.add('a', 'k');
  env.clock.advance(1);
}

/** Lets polls fail and collects how long the poller waits after each. */
function waits(count: number, fail: () => void = () => server.poll.answer(failed())): number[] {
  return Array.from({ length: count }, () => {
    fail();
    const [wait = -1] = env.clock.pending;
    env.clock.advance(wait);
    return wait;
  });
}

describe('the address', () => {
  test('is the one of the original, marked', () => {
    started();
    expect(server.poll.url.href).toBe(`http://push/message_updates?callback=?&client_id=a_!!_k&ts=${env.now()}&v=2`);
  });

  test.each(['a&b', 'a#b', 'a+b', 'a b', '100%', 'ü', 'a=b&client_id=c_!!_k', '__proto__'])('carries id %j', (id) => {
    poller.add(id, 'k&y');
    env.clock.advance(1);
    expect(ids()).toEqual([`${id}_!!_k&y`]);
  });
});

describe('clients', () => {
  test('added together share one poll', () => {
    poller.add('a', '1');
    poller.add('b', '2');
    env.clock.advance(1);
    expect(ids()).toEqual(['a_!!_1', 'b_!!_2']);
    expect(server.polls).toHaveLength(1);
  });

  test('added during a poll are polled for at once, and the loop stays one', () => {
    started();
    env.clock.advance(5000);
    poller.add('b', 'k');
    env.clock.advance(1);
    expect(ids()).toEqual(['a_!!_k', 'b_!!_k']);
    expect(server.polls).toHaveLength(2);
    expect(open()).toBe(1);
  });

  test('added twice have their last key', () => {
    started();
    poller.add('a', 'new');
    env.clock.advance(1);
    expect(ids()).toEqual(['a_!!_new']);
  });

  test('added while waiting after a failure do not cut the wait short', () => {
    started();
    server.poll.answer(failed());
    poller.add('b', 'k');
    env.clock.advance(999);
    expect(server.polls).toHaveLength(1);
    env.clock.advance(1);
    expect(ids()).toEqual(['a_!!_k', 'b_!!_k']);
  });
});

describe('after an answer', () => {
  test('with messages the next poll starts at once', () => {
    started();
    server.poll.answer(message('one'));
    expect(server.polls).toHaveLength(2);
    server.poll.answer(message('two'));
    expect(server.polls).toHaveLength(3);
    expect(heard).toEqual(['one', 'two']);
  });

  test('that is empty after the usual time too', () => {
    started();
    env.clock.advance(25_000);
    server.poll.answer(empty);
    expect(server.polls).toHaveLength(2);
  });

  test('that is empty and quick it waits, longer each time', () => {
    started();
    expect(waits(4, () => server.poll.answer(empty))).toEqual([1000, 2000, 4000, 8000]);
    env.clock.advance(1000);
    server.poll.answer(empty);
    expect(env.clock.pending).toEqual([40_000]);
  });
});

describe('after a failure', () => {
  test('it waits up to 1, 2, 4 … 30 seconds, for ever', () => {
    started();
    expect(waits(8)).toEqual([1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000]);
    expect(waits(100)).toEqual(Array(100).fill(20_000));
  });

  test('the wait is drawn from the full range', () => {
    env.dice = 0.5;
    started();
    expect(waits(3)).toEqual([500, 1000, 2000]);
  });

  test('only a good answer starts the schedule anew', () => {
    started();
    waits(3);
    env.clock.advance(20_000); // the poll holds for a while, and then fails
    expect(waits(1)).toEqual([8000]);
    server.poll.answer(message('good'));
    expect(waits(1)).toEqual([1000]);
  });

  test('a poll the server forgot is given up', () => {
    started();
    env.clock.advance(39_999);
    expect(open()).toBe(1);
    env.clock.advance(1);
    expect(open()).toBe(0);
    env.clock.advance(1000);
    expect(server.polls).toHaveLength(2);
    expect(open()).toBe(1);
  });

  test('the server can ask for more', () => {
    started();
    server.poll.answer(failed(60_000));
    expect(env.clock.pending).toEqual([61_000]);
  });

  test('but not for what a timer cannot count, nor for less than nothing', () => {
    started();
    expect(waits(1, () => server.poll.answer(failed(1e300)))).toEqual([2 ** 31 - 1]);
    expect(waits(1, () => server.poll.answer(failed(-1e300)))).toEqual([2000]);
  });
});

describe('without a network', () => {
  test('it polls rarely, and at once when the network is back', () => {
    started();
    env.isOnline = false;
    expect(waits(3)).toEqual([20_000, 20_000, 20_000]);
    server.poll.answer(failed());
    env.clock.advance(10_000);
    env.comeOnline();
    env.clock.advance(1);
    expect(server.polls).toHaveLength(5);
    expect(waits(1)).toEqual([1000]); // the time without a network counts for nothing
  });

  test('a poll begun before is begun again', () => {
    started();
    env.comeOnline();
    env.clock.advance(1);
    expect(server.polls).toHaveLength(2);
    expect(open()).toBe(1);
  });

  test('a wait the server asked for is kept', () => {
    started();
    server.poll.answer(failed(60_000));
    env.comeOnline();
    env.clock.advance(59_999);
    expect(server.polls).toHaveLength(1);
  });

  test('nothing happens where nothing did', () => {
    started();
    poller.stop();
    env.comeOnline();
    expect(env.clock.pending).toEqual([]);
  });
});

describe('gone', () => {
  test('the others go on, within a second', () => {
    poller.add('a', '1');
    poller.add('b', '2');
    env.clock.advance(1);
    server.poll.answer(refuse('a'));
    expect(gone).toEqual(['a']);
    env.clock.advance(1000);
    expect(ids()).toEqual(['b_!!_2']);
  });

  test('with nobody left it stops, until the next client', () => {
    started();
    server.poll.answer(refuse('a'));
    expect(env.clock.pending).toEqual([]);
    poller.add('b', 'k');
    env.clock.advance(1000);
    expect(ids()).toEqual(['b_!!_k']);
  });

  test('a page that insists is slowed down', () => {
    onGone = (id) => poller.add(id, 'wrong');
    started();
    expect(waits(4, () => server.poll.answer(refuse('a')))).toEqual([1000, 2000, 4000, 8000]);
  });

  test('a page that has something better after an outage is not', () => {
    onGone = () => poller.add('b', 'k');
    started();
    waits(10);
    server.poll.answer(refuse('a'));
    expect(env.clock.pending).toEqual([1000]);
  });

  test.each([[[]], [['stranger']], [[null, 7, {}]]])('%j: nobody of ours, and no spinning', (clients) => {
    started();
    expect(waits(3, () => server.poll.answer(refuse(...clients)))).toEqual([1000, 2000, 4000]);
    expect(gone).toEqual([]);
    expect(ids()).toEqual(['a_!!_k']);
  });

  test('in an answer that comes late means nothing: the key may be new', () => {
    started();
    const late = server.poll;
    poller.add('a', 'new');
    late.answer(refuse('a'));
    env.clock.advance(1);
    expect(gone).toEqual([]);
    expect(ids()).toEqual(['a_!!_new']);
  });
});

describe('an answer that comes late', () => {
  test('still brings its messages, and starts no second loop', () => {
    started();
    const late = server.poll;
    poller.add('b', 'k');
    env.clock.advance(1);
    late.answer(message('late'));
    expect(heard).toEqual(['late']);
    expect(server.polls).toHaveLength(2);
  });

  test('brings nothing after stop, even if the page began anew', () => {
    started();
    const late = server.poll;
    poller.stop();
    late.answer(message('late'));
    started();
    late.answer(message('late'));
    expect(heard).toEqual([]);
    expect(server.polls).toHaveLength(2);
  });
});

describe('stop', () => {
  test('ends the poll and every wait', () => {
    started();
    poller.stop();
    expect(open()).toBe(0);
    expect(env.clock.pending).toEqual([]);
  });

  test('forgets the clients and the failures', () => {
    started();
    waits(5);
    poller.stop();
    poller.add('b', 'k');
    env.clock.advance(1);
    expect(ids()).toEqual(['b_!!_k']);
    expect(waits(1)).toEqual([1000]);
  });

  test('from a listener is kept to', () => {
    onGone = () => poller.stop();
    poller.add('a', '1');
    poller.add('b', '2');
    env.clock.advance(1);
    server.poll.answer(refuse('a'));
    expect(env.clock.pending).toEqual([]);
  });
});
