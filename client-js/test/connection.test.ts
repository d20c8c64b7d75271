import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createConnection } from '../src/connection';
import type { ChannelMessage, Connection, ConnectionState, ConnectOptions, Gap } from '../src/types';
import { FakeBrowser, settled } from './fakes';

const p = (seq: number, epoch = 'aa') => `00000000000000${epoch}.${seq}`;

let env: FakeBrowser;
let connection: Connection;
let heard: string[];
let gaps: Gap[];
let gone: string[];
let states: ConnectionState[];
/** Calls of the page's key function, for the test to answer. */
let asked: { tell: (key: string) => Promise<void>; fail: (why?: string) => Promise<void> }[];

beforeEach(() => {
  env = new FakeBrowser();
  heard = [];
  gaps = [];
  gone = [];
  states = [];
  asked = [];
});

const key = () =>
  new Promise<string>((resolve, reject) => {
    asked.push({
      tell: (key) => (resolve(key), settled()),
      fail: (why = 'no key today') => (reject(new Error(why)), settled()),
    });
  });

/** Polls, if nothing else is said. What it is to choose is tested elsewhere. */
function connect(options: Partial<ConnectOptions> = {}): Connection {
  connection = createConnection(env, { url: 'http://push', clientId: 'a', key: 'k', transports: ['longpoll'], ...options });
  connection.on('*', (message) => heard.push(`${message.channel} ${message.id}`));
  connection.onGap((gap) => gaps.push(gap));
  connection.onGone((id) => gone.push(id));
  connection.onState((state) => states.push(state));
  return connection;
}

const message = (seq: number, id: number, channel = 'c'): ChannelMessage => ({
  channel,
  id,
  pos: p(seq),
  sender: 'x',
  data: null,
  time: 0,
});
const text = (cursor: string | undefined, signals: object[] = [], ...messages: ChannelMessage[]) =>
  JSON.stringify({ cursor, signals, messages });

/** What the latest poll asks. */
const asks = () => JSON.parse(env.poll.body!) as Record<string, unknown>;
/** Polls under way: those answered are closed as well. */
const open = () => env.fetches.filter((fetch) => !fetch.signal.aborted).length;

/** A connection that is open at position 1: its first poll is answered, its second is held. */
async function opened(options: Partial<ConnectOptions> = {}) {
  connect(options);
  await settled();
  await env.poll.answer(text(p(1)));
  expect(connection.state).toEqual({ name: 'connected' });
}

/** Lets time go on until the next thing is due. */
async function next(): Promise<number> {
  const [ms = NaN] = env.clock.pending;
  env.clock.advance(ms);
  await settled();
  return ms;
}

// ---- every state, and all that can happen in it

/** A connection by script tags, for these answer also when they were given up. */
const SITUATIONS: Record<string, () => Promise<void>> = {
  async asking() {
    connect({ key, jsonp: true });
    await settled();
  },
  async opening() {
    await SITUATIONS['asking']!();
    await asked[0]!.tell('k');
  },
  async open() {
    await SITUATIONS['opening']!();
    await answer(text(p(1)));
  },
  async waiting() {
    await SITUATIONS['open']!();
    await end();
  },
  async 'waiting for the server'() {
    await SITUATIONS['open']!();
    await answer('{"error":{"code":503,"type":"unavailable","retry_ms":9000}}');
  },
  async hidden() {
    await SITUATIONS['open']!();
    env.happen('hidden');
  },
  async closed() {
    await SITUATIONS['open']!();
    connection.close();
  },
};

async function answer(json: string) {
  env.tag.run(`/**/${env.tag.callback}(${json});`);
  await settled();
}
async function end() {
  env.tag.end();
  await settled();
}

const EVENTS: Record<string, () => unknown> = {
  message: () => answer(text(p(2), [], message(2, 1))),
  empty: () => answer(text(p(1))),
  'empty in time': async () => {
    env.clock.now += 25_000;
    await answer(text(p(1)));
  },
  nothing: () => end(),
  nonsense: () => answer('{}'),
  unavailable: () => answer('{"error":{"code":503,"type":"unavailable","retry_ms":9000}}'),
  refused: () => answer('{"error":{"code":400,"type":"invalid_request"}}'),
  gone: () => answer(text(undefined, [{ type: 'gone', client: 'a' }])),
  superseded: () => answer(text(p(1), [{ type: 'superseded' }])),
  drain: () => answer(text(p(2), [{ type: 'drain', retry_ms: 9000 }], message(2, 1))),
  'time is up': () => next(),
  online: () => env.comeOnline(),
  hidden: () => env.happen('hidden'),
  shown: () => env.happen('shown'),
  told: () => asked[asked.length - 1]!.tell('k2'),
  'not told': () => asked[asked.length - 1]!.fail(),
  close: () => connection.close(),
};

const LATE = ''; // nothing changes

/** What becomes of it: the state the page sees then, why, what is asked, what is heard. '' is no change. */
const OUTCOMES: Record<string, Record<string, string>> = {
  asking: {
    'time is up': 'waiting credentials',
    told: 'connecting, poll 0',
    'not told': 'waiting credentials',
    online: '',
    hidden: '',
    shown: '',
    close: 'closed closed',
  },
  opening: {
    message: 'connected, poll 25000, heard c 1',
    empty: 'connected, poll 25000',
    'empty in time': 'connected, poll 25000',
    nothing: 'waiting network',
    nonsense: 'waiting answer',
    unavailable: 'waiting unavailable',
    refused: 'waiting invalid_request',
    gone: 'waiting gone, gone a',
    superseded: 'connected, poll 25000',
    drain: 'waiting drain, heard c 1',
    'time is up': 'waiting timeout',
    told: '',
    'not told': '',
    online: 'connecting, poll 0',
    hidden: 'waiting hidden',
    shown: 'connecting, poll 0',
    close: 'closed closed',
  },
  open: {
    message: 'connected, poll 25000, heard c 1',
    empty: 'waiting empty',
    'empty in time': 'connected, poll 25000',
    nothing: 'waiting network',
    nonsense: 'waiting answer',
    unavailable: 'waiting unavailable',
    refused: 'waiting invalid_request',
    gone: 'waiting gone, gone a',
    superseded: 'connected, poll 25000',
    drain: 'waiting drain, heard c 1',
    'time is up': 'waiting timeout',
    told: '',
    'not told': '',
    online: 'connecting, poll 0',
    hidden: 'waiting hidden',
    shown: 'connecting, poll 0',
    close: 'closed closed',
  },
  waiting: {
    'time is up': 'connecting, poll 0',
    told: '',
    'not told': '',
    online: 'connecting, poll 0',
    hidden: '',
    shown: 'connecting, poll 0',
    close: 'closed closed',
  },
  'waiting for the server': {
    'time is up': 'connecting, poll 0',
    told: '',
    'not told': '',
    online: '',
    hidden: '',
    shown: '',
    close: 'closed closed',
  },
  hidden: {
    message: LATE,
    empty: LATE,
    'empty in time': LATE,
    nothing: LATE,
    nonsense: LATE,
    unavailable: LATE,
    refused: LATE,
    gone: LATE,
    superseded: LATE,
    drain: LATE,
    'time is up': '',
    told: '',
    'not told': '',
    online: 'connecting, poll 0',
    hidden: '',
    shown: 'connecting, poll 0',
    close: 'closed closed',
  },
  closed: {
    message: LATE,
    empty: LATE,
    'empty in time': LATE,
    nothing: LATE,
    nonsense: LATE,
    unavailable: LATE,
    refused: LATE,
    gone: LATE,
    superseded: LATE,
    drain: LATE,
    'time is up': '',
    told: '',
    'not told': '',
    online: '',
    hidden: '',
    shown: '',
    close: '',
  },
};

/** These need a script under way, or one that was given up. */
const ANSWERS = Object.keys(EVENTS).slice(0, 10);

describe.each(Object.keys(SITUATIONS))('%s', (situation) => {
  const outcomes = OUTCOMES[situation]!;

  test('all that can happen is here', () => {
    const possible = Object.keys(EVENTS).filter((event) => event in outcomes || !ANSWERS.includes(event));
    expect(Object.keys(outcomes).sort()).toEqual(possible.sort());
  });

  test.each(Object.entries(outcomes))('%s: %s', async (event, expected) => {
    await SITUATIONS[situation]!();
    const { state } = connection;
    const [tags, keys, changes] = [env.tags.length, asked.length, states.length];
    await EVENTS[event]!();

    const changed = state !== connection.state || tags !== env.tags.length || asked.length !== keys;
    const seen = connection.state;
    const outcome = changed ? [`${seen.name}${'why' in seen ? ` ${seen.why}` : ''}`] : [];
    for (const tag of env.tags.slice(tags)) outcome.push(`poll ${new URL(tag.url).searchParams.get('wait')}`);
    for (const _ of asked.slice(keys)) outcome.push('ask');
    outcome.push(...heard.map((what) => `heard ${what}`), ...gone.map((id) => `gone ${id}`));
    expect(outcome.join(', ')).toBe(expected);
    // The page is told of each change that it can see, and of nothing else.
    if (state === connection.state) expect(states).toHaveLength(changes);
    else expect(states[states.length - 1]).toBe(connection.state);
    // One script at most is wanted, and one only where a link should be.
    const wanted = env.tags.filter((tag) => tag.onPage).length;
    expect(wanted).toBeLessThanOrEqual(1);
    if (seen.name === 'waiting' || seen.name === 'closed') expect(wanted).toBe(0);
    if (seen.name === 'closed') expect([env.clock.pending, env.waiting]).toEqual([[], 0]);
  });
});

// ---- what that means for a page

describe('a poll', () => {
  test('first one that is answered at once, then those that are held, each from where the last has come to', async () => {
    await opened();
    expect(env.fetches.map((fetch) => fetch.url)).toEqual(['http://push/longpoll', 'http://push/longpoll']);
    expect(JSON.parse(env.fetches[0]!.body!)).toEqual({
      clients: [{ id: 'a', key: 'k' }],
      session: expect.stringMatching(/^[\w-]{1,64}$/),
      wait: 0,
    });
    const { session } = asks();
    expect(asks()).toEqual({ clients: [{ id: 'a', key: 'k' }], session, cursor: p(1), wait: 25_000 });
    await env.poll.answer(text(p(7), [], message(5, 1), message(7, 2)));
    expect(asks()).toMatchObject({ session, cursor: p(7), wait: 25_000 });
    expect(heard).toEqual(['c 1', 'c 2']);
  });

  test('is never two at a time', async () => {
    await opened();
    for (let i = 2; i < 9; i++) {
      env.comeOnline();
      expect(open()).toBe(1);
      await env.poll.answer(text(p(i)));
      expect(open()).toBe(1);
    }
  });

  test('that was cut short moves nothing', async () => {
    await opened();
    const whole = text(p(7), [], message(7, 1));
    await env.poll.answer(whole.slice(0, -1));
    await next();
    expect(asks()).toMatchObject({ cursor: p(1) });
    expect(heard).toEqual([]);
    await env.poll.answer(whole);
    expect(heard).toEqual(['c 1']);
  });

  test('as the page wants it', async () => {
    await opened({ url: 'http://push/x/', session: 'mine', wait: 5000 });
    expect(env.poll.url).toBe('http://push/x/longpoll');
    expect(asks()).toMatchObject({ session: 'mine', wait: 5000 });
  });

  test.each<[unknown, number]>([
    [undefined, 25_000],
    [NaN, 25_000],
    ['x', 25_000],
    [0, 0],
    [-1, 0],
    [-Infinity, 0],
    [4999.6, 5000],
    [600_000, 600_000],
    [1e300, 600_000],
    [Infinity, 600_000],
  ])('that is to be held for %j is held for %d', async (wait, ms) => {
    await opened({ wait: wait as number });
    expect(asks()).toMatchObject({ wait: ms });
    expect(env.clock.pending).toEqual([ms + 15_000]);
  });

  test('from a position that the page has, or from now', async () => {
    connect({ cursor: 'now' });
    await settled();
    expect(asks()).toMatchObject({ cursor: 'now' });
    await env.poll.fail();
    await next();
    expect(asks()).toMatchObject({ cursor: 'now' });
    await env.poll.answer(text(p(9)));
    expect(asks()).toMatchObject({ cursor: p(9) });
  });

  test.each([
    ['wanted', { jsonp: true }, 'tag'],
    ['all there is', {}, 'tag'],
    ['said by the script', { url: undefined }, 'tag'],
    ['said by the script, and not by the page', { url: undefined, transports: ['longpoll'] as const }, 'fetch'],
    ['said by the script, and not wanted', { url: undefined, jsonp: false }, 'fetch'],
    ['not said', {}, 'fetch'],
  ])('goes by JSONP if it is %s', async (how, options, kind) => {
    if (how === 'all there is') for (const name of ['AbortController', 'TextDecoderStream']) delete env.native[name];
    env.sources = ['http://push:8082/static/shaveet.js?disableCORS=1'];
    connect({ transports: undefined, ...options });
    await settled();
    expect([env.tags.length, env.fetches.length]).toEqual(kind === 'tag' ? [1, 0] : [0, 1]);
  });

  test("goes where the page's script is from", async () => {
    connect({ url: undefined });
    await settled();
    expect(env.poll.url).toBe('http://push:8082/longpoll');
    env.sources = [];
    expect(() => connect({ url: undefined })).toThrow(/^url is not set/);
  });
});

describe('pace', () => {
  /** Gives each poll and collects how long it waits after it, in which the next begins. */
  async function waits(count: number, give: () => unknown): Promise<number[]> {
    const list: number[] = [];
    while (list.length < count) {
      const polls = env.fetches.length;
      await give();
      if (connection.state.name !== 'waiting') {
        expect(env.fetches.length).toBe(polls + 1);
        continue;
      }
      expect(connection.state.until).toBe(env.now() + env.clock.pending[0]!);
      list.push(await next());
    }
    return list;
  }
  const SCHEDULE = [1000, 2000, 4000, 8000, 16_000, 20_000, 20_000];

  test.each<[string, () => unknown]>([
    ['no answer', () => env.poll.fail()],
    ['an answer that is not ours', () => env.poll.answer('<h1>Log in</h1>')],
    ['an error', () => env.poll.answer('', { status: 500 })],
    ['empty answers at once', () => env.poll.answer(text(p(1)))],
    ['empty answers at once that move on', () => env.poll.answer(text(p(env.fetches.length)))],
    ['the same signal again and again', () => env.poll.answer(text(p(1), [{ type: 'presence', channel: 'c', count: 3 }]))],
    ['the same message again and again', () => env.poll.answer(text(p(1), [], message(1, 1)))],
    ['more, and nothing there', () => env.poll.answer(JSON.stringify({ cursor: p(1), signals: [], messages: [], more: true }))],
    ['a drain without end', () => env.poll.answer(text(p(1), [{ type: 'drain' }]))],
  ])('after %s is slower each time', async (_, give) => {
    await opened();
    expect(await waits(7, give)).toEqual(SCHEDULE);
  });

  test('is slower each time also for a page that wants no poll held', async () => {
    await opened({ wait: 0 });
    expect(await waits(3, () => env.poll.answer(text(p(1))))).toEqual([1000, 2000, 4000]);
  });

  test('after superseded, too, but at once the first time', async () => {
    await opened();
    expect(await waits(6, () => env.poll.answer(text(p(1), [{ type: 'superseded' }])))).toEqual(SCHEDULE.slice(1));
  });

  test('is drawn from the full range', async () => {
    env.dice = 0.25;
    await opened();
    expect(await waits(3, () => env.poll.fail())).toEqual([250, 500, 1000]);
  });

  test('begins anew after an answer that brings something, and after one that was held', async () => {
    await opened();
    await waits(3, () => env.poll.fail());
    await env.poll.answer(text(p(5), [], message(5, 1)));
    expect(await waits(2, () => env.poll.fail())).toEqual([1000, 2000]);
    await env.poll.answer(text(p(5)));
    env.clock.advance(25_000);
    await env.poll.answer(text(p(5)));
    expect(await waits(2, () => env.poll.fail())).toEqual([1000, 2000]);
  });

  test('does not begin anew after an empty answer to the opening poll', async () => {
    await opened();
    await waits(3, () => env.poll.fail());
    await env.poll.answer(text(p(1)));
    expect(await waits(1, () => env.poll.fail())).toEqual([8000]);
  });

  test.each([
    ['{"error":{"code":503,"type":"unavailable","retry_ms":7000}}', {}, 7000],
    ['', { 'Retry-After': '7' }, 7000],
    ['{"error":{"code":503,"type":"unavailable","retry_ms":1e300}}', {}, 120_000],
    ['{"error":{"code":503,"type":"unavailable","retry_ms":-5}}', {}, 0],
    ['', { 'Retry-After': '86400' }, 120_000],
  ])('minds what the server says: %s %j', async (body, headers, ms) => {
    await opened();
    await env.poll.answer(body, { status: 503, headers });
    expect(await next()).toBe(ms + 1000);
  });

  test.each([
    [3000, 3000],
    [1e300, 120_000],
    [undefined, 0],
    ['x', 0],
  ])('a drain with retry_ms %j', async (retry_ms, ms) => {
    await opened();
    await env.poll.answer(text(p(4), [{ type: 'drain', retry_ms }], message(4, 1)));
    expect(heard).toEqual(['c 1']);
    expect(await next()).toBe(ms + 1000);
    expect(asks()).toMatchObject({ cursor: p(4), wait: 0 });
  });

  test('without a network is slow, and says so', async () => {
    await opened();
    env.isOnline = false;
    expect(await waits(3, () => env.poll.fail())).toEqual([20_000, 20_000, 20_000]);
    await env.poll.fail();
    expect(connection.state).toMatchObject({ name: 'waiting', why: 'offline' });
    env.comeOnline();
    expect(connection.state.name).toBe('connecting');
    expect(await waits(1, () => env.poll.fail())).toEqual([1000]);
  });

  test('a poll that is not answered is given up, later each time, for it may be the network that is slow', async () => {
    await opened();
    expect(await next()).toBe(25_000 + 15_000);
    expect(env.poll.signal.aborted).toBe(true);
    const limits: number[] = [];
    for (let i = 0; i < 5; i++) {
      await next(); // the wait
      limits.push(await next());
    }
    expect(limits).toEqual([30_000, 60_000, 60_000, 60_000, 60_000]);
  });

  test('more is asked for at once', async () => {
    await opened();
    for (let i = 2; i < 6; i++) {
      await env.poll.answer(JSON.stringify({ cursor: p(i), signals: [], messages: [message(i, i)], more: true }));
      expect(asks()).toMatchObject({ cursor: p(i) });
    }
    expect(env.clock.pending).toEqual([40_000]);
  });
});

describe('url, id and key', () => {
  test('may each be a function, and the id a number', async () => {
    connect({ url: () => 'http://late/', clientId: async () => 7 as unknown as string, key: async () => 'k7' });
    await settled();
    expect(env.poll.url).toBe('http://late/longpoll');
    expect(asks()).toMatchObject({ clients: [{ id: '7', key: 'k7' }] });
  });

  test('are asked for once, as long as nobody refuses them', async () => {
    const url = vi.fn(() => 'http://push');
    await opened({ url });
    for (const give of [() => env.poll.fail(), () => env.poll.answer('', { status: 500 }), () => env.poll.answer('', { status: 429 })]) {
      await give();
      await next();
    }
    expect(url).toHaveBeenCalledOnce();
  });

  test('are asked for again after a refusal', async () => {
    const url = vi.fn(() => 'http://push');
    await opened({ url });
    for (const status of [400, 403, 404]) {
      await env.poll.answer('', { status });
      await next();
    }
    expect(url).toHaveBeenCalledTimes(4);
    expect(connection.state.name).toBe('connecting');
  });

  test('are not asked for by a page that has just closed', async () => {
    let calls = 0;
    await opened({ key: () => `k${++calls}` });
    await env.poll.answer(text(undefined, [{ type: 'gone' }]));
    connection.onState(({ name }) => name === 'connecting' && connection.close());
    await next();
    expect([connection.state.name, calls, env.clock.pending]).toEqual(['closed', 1, []]);
  });

  test('that come too late are not used', async () => {
    connect({ key });
    await settled();
    expect(await next()).toBe(20_000);
    expect(connection.state).toMatchObject({ name: 'waiting', why: 'credentials' });
    expect(await next()).toBe(1000);
    expect(asked).toHaveLength(2);
    await asked[0]!.tell('late');
    expect(env.fetches).toEqual([]);
    await asked[1]!.tell('k2');
    expect(asks()).toMatchObject({ clients: [{ id: 'a', key: 'k2' }] });
  });

  test.each(['tell', 'fail'] as const)('that come after all was closed or asked again change nothing: %s', async (how) => {
    connect({ key });
    await settled();
    await next(); // its time is up
    await next(); // and it is asked again
    const { state } = connection;
    await asked[0]![how]('late');
    expect(connection.state).toBe(state);
    connection.close();
    await asked[1]![how]('late');
    expect(connection.state.name).toBe('closed');
    expect([env.fetches, env.clock.pending]).toEqual([[], []]);
  });

  test.each<[string, () => string]>([
    ['throws', () => { throw new Error('no'); }],
    ['rejects', () => Promise.reject(new Error('no')) as unknown as string],
    ['says nothing', () => undefined as unknown as string],
    ['says an empty text', () => ''],
  ])('a function that %s is asked again, slower each time', async (_, key) => {
    connect({ key });
    await settled();
    const list: number[] = [];
    for (let i = 0; i < 4; i++) list.push(await next());
    expect(list).toEqual([1000, 2000, 4000, 8000]);
    expect(env.reports).toHaveLength(5);
    expect(env.fetches).toEqual([]);
  });
});

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['null', null],
  ['a number', 7],
])('a function that says %s of the url is asked again, and nobody else is', async (_, said) => {
  let url = said;
  connect({ url: () => url as string });
  await settled();
  expect(connection.state).toMatchObject({ name: 'waiting', why: 'credentials' });
  expect(env.fetches).toEqual([]);
  expect(env.reports).toHaveLength(1);
  url = 'http://late';
  await next();
  expect(env.poll.url).toBe('http://late/longpoll');
});

describe('gone', () => {
  const refuse = () => env.poll.answer(text(undefined, [{ type: 'gone', client: 'a' }]), { status: 404 });

  test('with a constant key is the end', async () => {
    await opened({ url: () => 'http://push' });
    await refuse();
    expect(connection.state).toEqual({ name: 'closed', why: 'gone' });
    expect(gone).toEqual(['a']);
    expect([env.clock.pending, env.waiting]).toEqual([[], 0]);
  });

  test('at the first attempt too', async () => {
    connect();
    await settled();
    await refuse();
    expect(states).toEqual([{ name: 'closed', why: 'gone' }]);
  });

  test('that nobody hears of is at least on the console', async () => {
    connection = createConnection(env, { url: 'http://push', clientId: 'a', key: 'k', transports: ['longpoll'] });
    await settled();
    await refuse();
    expect(env.reports).toEqual([['Shaveet: client a is gone']]);
  });

  test('with a function asks for a new one, slower each time, and goes on where it was', async () => {
    let n = 0;
    await opened({ key: async () => `k${++n}` });
    await env.poll.answer(text(p(5), [], message(5, 1)));
    const list: number[] = [];
    for (let i = 0; i < 4; i++) {
      await refuse();
      list.push(await next());
    }
    expect(list).toEqual([1000, 2000, 4000, 8000]);
    expect(gone).toHaveLength(4);
    expect(asks()).toMatchObject({ clients: [{ id: 'a', key: 'k5' }], cursor: p(5), wait: 0 });
    await env.poll.answer(text(p(9), [], message(9, 2)));
    expect(connection.state).toEqual({ name: 'connected' });
    expect(heard).toEqual(['c 1', 'c 2']);
  });

  test('with an id that is a function too', async () => {
    let n = 0;
    await opened({ clientId: () => `a${++n}` });
    await refuse();
    expect(gone).toEqual(['a1']);
    await next();
    expect(asks()).toMatchObject({ clients: [{ id: 'a2' }] });
  });

  test('a listener that closes is minded', async () => {
    await opened({ key: async () => 'k' });
    connection.onGone(() => connection.close());
    await refuse();
    expect(connection.state).toEqual({ name: 'closed', why: 'closed' });
    expect(env.clock.pending).toEqual([]);
  });
});

describe('superseded', () => {
  test('goes on under another name, from where it was', async () => {
    await opened({ session: 'mine', resume: true });
    await env.poll.answer(text(p(4), [{ type: 'superseded' }]));
    const { session } = asks();
    expect(session).not.toBe('mine');
    expect(session).toMatch(/^[\w-]{1,64}$/);
    expect(asks()).toMatchObject({ cursor: p(4), wait: 25_000 });
    expect([...env.storage!.values()].join()).toContain(String(session));
  });

  test('a copy of the page and the page both hear all', async () => {
    await opened({ resume: true });
    const page = { connection, env };
    const { session } = asks();

    env = new FakeBrowser();
    env.dice = 0.7;
    env.storage = new Map(page.env.storage);
    const copied: string[] = [];
    connect({ resume: true }).on('c', ({ id }) => copied.push(`c ${id}`));
    await settled();
    expect(asks()).toMatchObject({ session, cursor: p(1) });
    await env.poll.answer(text(p(1)));
    await env.poll.answer(text(p(2), [], message(2, 1)));
    expect(copied).toEqual(['c 1']);

    env = page.env;
    env.dice = 0.3;
    await env.poll.answer(text(p(1), [{ type: 'superseded' }]));
    expect(asks()['session']).not.toBe(session);
    await env.poll.answer(text(p(2), [], message(2, 1)));
    expect(heard).toEqual(['c 1']);
  });
});

describe('resume', () => {
  const again = async (options: Partial<ConnectOptions> = { resume: true }) => {
    connection.close();
    connect(options);
    await settled();
  };

  test('goes on after a reload: position, name, and numbers', async () => {
    await opened({ resume: true });
    await env.poll.answer(text(p(5), [], message(5, 3)));
    const { session } = asks();
    await again();
    expect(asks()).toEqual({ clients: [{ id: 'a', key: 'k' }], session, cursor: p(5), wait: 0 });
    await env.poll.answer(text(p(7), [], message(5, 3), message(7, 5)));
    expect(heard).toEqual(['c 3', 'c 5']);
    expect(gaps).toEqual([{ channel: 'c', from: p(5), to: p(7), reason: 'ids' }]);
  });

  test('is not done unasked', async () => {
    await opened();
    expect(env.storage).toEqual(new Map());
    env.storage!.set('shaveet http://push a', JSON.stringify({ cursor: p(9), session: 's' }));
    await again({});
    expect(asks()).not.toHaveProperty('cursor');
  });

  test('keeps apart what belongs to another server, client, or name', async () => {
    await opened({ resume: true });
    for (const options of [{ url: 'http://other' }, { clientId: 'b' }, { resume: 'x' }]) {
      await again({ resume: true, ...options });
      expect(asks(), JSON.stringify(options)).not.toHaveProperty('cursor');
    }
    await again();
    expect(asks()).toMatchObject({ cursor: p(1) });
    expect([...env.storage!.keys()]).toEqual(['shaveet http://push a']);
  });

  test('by a name of its own, whoever the client is', async () => {
    await opened({ resume: 'x' });
    await again({ resume: 'x', clientId: 'b', url: 'http://other' });
    expect(asks()).toMatchObject({ cursor: p(1) });
  });

  test('is second to what the page says', async () => {
    await opened({ resume: true });
    await again({ resume: true, cursor: p(3), session: 'mine' });
    expect(asks()).toMatchObject({ cursor: p(3), session: 'mine' });
    await again({ resume: true, session: 'mine' });
    expect(asks()).toMatchObject({ cursor: p(1), session: 'mine' });
  });

  test('keeps no key', async () => {
    await opened({ resume: true, key: 'secret' });
    expect([...env.storage!.values()].join()).not.toContain('secret');
  });

  test.each([
    'x',
    'null',
    '7',
    '{}',
    `{"cursor":"now","session":"s"}`,
    `{"cursor":"${p(9)}","session":"not a session"}`,
    `{"cursor":"${p(9)}"}`,
    `{"cursor":7,"session":"s","channels":[]}`,
    `{"cursor":["${p(9)}"],"session":"s"}`,
    `{"cursor":"${p(9)}","session":7}`,
    `{"cursor":"${p(9)}","session":["s"]}`,
  ])('of %s is none', async (kept) => {
    env.storage!.set('shaveet http://push a', kept);
    connect({ resume: true });
    await settled();
    expect(asks()).toEqual({ clients: [{ id: 'a', key: 'k' }], session: expect.stringMatching(/^shaveet_/), wait: 0 });
  });

  test.each([7, [7], [null], [['c']], [['c', 7]], [['c', null]], [['c', { since: 7, id: 'x' }]]].map((kept) => [kept]))('of channels %j still has the position', async (channels) => {
    env.storage!.set('shaveet http://push a', JSON.stringify({ cursor: p(9), session: 's', channels }));
    connect({ resume: true });
    await settled();
    expect(asks()).toMatchObject({ cursor: p(9), session: 's' });
    const known = { type: 'channels', channels: { c: { since: p(1), id: 0 } } };
    await env.poll.answer(text(p(11), [known, { type: 'presence', channel: 'c', joined: 'b', id: 3 }], message(11, 4)));
    expect(heard).toEqual(['c 4']);
    expect(gaps).toEqual([]);
  });

  test('without storage does without', async () => {
    env.storage = undefined;
    await opened({ resume: true });
    await env.poll.answer(text(p(5), [], message(5, 3)));
    expect(heard).toEqual(['c 3']);
    expect(env.reports).toEqual([]);
  });

  test('who closes in the middle has had what it was given, and no more', async () => {
    await opened({ resume: true });
    connection.on('c', () => connection.close());
    await env.poll.answer(text(p(7), [], message(5, 1), message(6, 2), message(7, 3)));
    await again();
    expect(asks()).toMatchObject({ cursor: p(5) });
    await env.poll.answer(text(p(7), [], message(6, 2), message(7, 3)));
    expect(heard).toEqual(['c 2', 'c 3']);
    expect(gaps).toEqual([]);
  });
});

describe('resume after close', () => {
  const signals = [
    { type: 'gap', channel: 'c', from: p(1), to: p(3), reason: 'count' },
    { type: 'presence', channel: 'c', joined: 'bob', id: 7 },
    { type: 'gap', channel: 'd', from: p(1), to: p(3), reason: 'age' },
  ];
  test.each<[string, (close: () => void) => void]>([
    ['a gap', (close) => connection.onGap(close)],
    ['a presence', (close) => connection.onPresence(close)],
    ['a state', (close) => connection.onState(({ name }) => name === 'connected' && close())],
  ])('at %s hears the signals again, all of them', async (_, at) => {
    await opened({ resume: true });
    await env.poll.fail();
    await next();
    const order: string[] = [];
    const listen = () => {
      connection.onGap(({ reason }) => order.push(reason));
      connection.onPresence(({ joined }) => order.push(String(joined)));
      connection.on('c', ({ id }) => order.push(`c ${id}`));
    };
    listen();
    at(() => connection.close());
    await env.poll.answer(text(p(5), signals, message(4, 8)));
    expect(connection.state.name).toBe('closed');
    expect(order).not.toContain('age');
    order.length = 0;
    connect({ resume: true });
    listen();
    await settled();
    expect(asks()).toMatchObject({ cursor: p(1) });
    await env.poll.answer(text(p(5), signals, message(4, 8)));
    expect(order).toEqual(['count', 'bob', 'age', 'c 8']);
    expect(asks()).toMatchObject({ cursor: p(5) });
  });

  test('when it is connected hears nothing', async () => {
    connect();
    connection.onState(() => connection.close());
    await settled();
    await env.poll.answer(text(p(5), signals, message(4, 8)));
    expect([heard, gaps]).toEqual([[], []]);
  });
});

describe('listeners', () => {
  test('of a channel, or of those that have none', async () => {
    await opened();
    const own: ChannelMessage[] = [];
    connection.on('c', (message) => own.push(message));
    await env.poll.answer(text(p(5), [], message(4, 1), message(5, 9, 'd')));
    expect(own).toEqual([message(4, 1)]);
    expect(heard).toEqual(['d 9']);
  });

  test('can be taken back', async () => {
    await opened();
    const listener = vi.fn();
    for (const undo of [connection.on('c', listener), connection.onGap(listener), connection.onState(listener)]) undo();
    connection.onPresence(listener)();
    connection.onGone(listener)();
    const signals = [{ type: 'gap', channel: 'c', to: p(3) }, { type: 'presence', channel: 'c', count: 1 }];
    await env.poll.answer(text(p(5), signals, message(4, 1)));
    await env.poll.answer(text(undefined, [{ type: 'gone' }]));
    expect(listener).not.toHaveBeenCalled();
    expect(heard).toEqual(['c 1']);
  });

  test('that throw disturb nobody', async () => {
    await opened();
    const fault = new Error('listener');
    const bad = () => {
      throw fault;
    };
    connection.on('c', bad);
    connection.on('c', ({ id }) => heard.push(`after ${id}`));
    connection.onGap(bad);
    connection.onState(bad);
    connection.onPresence(bad);
    await env.poll.answer(text(p(5), [{ type: 'gap', channel: 'c', from: p(1), to: p(3), reason: 'age' }, { type: 'presence', channel: 'c', count: 1 }], message(4, 1)));
    expect(heard).toEqual(['after 1']);
    expect(asks()).toMatchObject({ cursor: p(5) });
    await env.poll.fail();
    expect(connection.state.name).toBe('waiting');
    expect(env.reports).toEqual([[fault], [fault], [fault], [fault]]);
  });

  test('hear of gaps before the messages that follow', async () => {
    await opened();
    const order: string[] = [];
    connection.onGap(({ reason }) => order.push(reason));
    connection.onPresence(({ joined }) => order.push(String(joined)));
    connection.on('c', ({ id }) => order.push(`c ${id}`));
    const signals = [
      { type: 'gap', channel: 'c', from: p(1), to: p(3), reason: 'count' },
      { type: 'presence', channel: 'c', joined: 'bob', id: 8 },
    ];
    await env.poll.answer(text(p(5), signals, message(4, 7)));
    expect(order).toEqual(['count', 'bob', 'c 7']);
  });

  test.each<[string, (close: () => void) => void]>([
    ['a gap', (close) => connection.onGap(close)],
    ['a presence', (close) => connection.onPresence(close)],
    ['a message', (close) => connection.on('c', close)],
  ])('that close at %s hear no more', async (_, at) => {
    await opened();
    const order: unknown[] = [];
    connection.onGap(() => order.push('gap'));
    connection.onPresence(() => order.push('presence'));
    connection.on('c', () => order.push('message'));
    at(() => {
      connection.close();
      order.length = 0;
    });
    const signals = [
      { type: 'gap', channel: 'c', from: p(1), to: p(3), reason: 'count' },
      { type: 'presence', channel: 'c', count: 8 },
      { type: 'gap', channel: 'd', from: p(1), to: p(3), reason: 'count' },
    ];
    await env.poll.answer(text(p(5), signals, message(4, 7), message(5, 8)));
    expect(order).toEqual([]);
    expect(connection.state).toEqual({ name: 'closed', why: 'closed' });
    expect(env.clock.pending).toEqual([]);
    expect(env.fetches).toHaveLength(2);
  });

  test.each(['connecting', 'connected', 'waiting'])('that close when it is %s are minded', async (name) => {
    connect();
    connection.onState((state) => state.name === name && connection.close());
    await settled();
    if (connection.state.name !== 'closed') await env.poll.answer(text(p(1)));
    const polls = env.fetches.length;
    if (connection.state.name !== 'closed') await env.poll.fail();
    if (connection.state.name !== 'closed') await next();
    expect(connection.state).toEqual({ name: 'closed', why: 'closed' });
    expect(env.clock.pending).toEqual([]);
    expect(env.fetches.length).toBe(polls);
  });
});

test('who hears a message is connected, by a poll that was not given up', async () => {
  connect();
  const seen: unknown[] = [];
  connection.onState(({ name }) => seen.push([name, env.poll.signal.aborted]));
  connection.on('c', () => seen.push(connection.state.name));
  await settled();
  await env.poll.answer(text(p(2), [{ type: 'drain' }], message(2, 1)));
  expect(seen).toEqual([['connected', false], 'connected', ['waiting', true]]);
});

test('states are told once each, with what there is to know', async () => {
  await opened();
  await env.poll.answer(text(p(2), [], message(2, 1)));
  await env.poll.fail();
  const until = env.now() + 1000;
  await next();
  await env.poll.answer(text(p(2)));
  connection.close();
  connection.close();
  expect(states).toEqual([
    { name: 'connected' },
    { name: 'waiting', until, why: 'network' },
    { name: 'connecting' },
    { name: 'connected' },
    { name: 'closed', why: 'closed' },
  ]);
});
