/** What follows the end of each transport, in each way in which it can end. */

import { beforeEach, describe, expect, test } from 'vitest';
import { createConnection } from '../src/connection';
import type { Connection, ConnectOptions, TransportName } from '../src/types';
import { ALL, type Attempt, attempts, type Batch } from './attempt';
import { FakeBrowser, Fetch, last, Script, settled, Wire } from './fakes';

const p = (seq: number) => `00000000000000aa.${seq}`;
const batch = (seq: number, ...signals: object[]): Batch => ({ cursor: p(seq), signals: signals as Batch['signals'], messages: [] });
const message = (seq: number): Batch => ({
  cursor: p(seq),
  signals: [],
  messages: [{ channel: 'c', id: seq, pos: p(seq), sender: 'x', data: null, time: 0 }],
});

let env: FakeBrowser;
let connection: Connection;
let states: string[];
let heard: string[];

beforeEach(() => {
  env = new FakeBrowser();
  env.modern();
});

async function connect(options: Partial<ConnectOptions> = {}): Promise<void> {
  states = [];
  heard = [];
  connection = createConnection(env, { url: 'http://push', clientId: 'a', key: () => 'k', ...options });
  connection.onState((state) => states.push('why' in state ? state.why : state.name));
  connection.onGone(() => {});
  connection.on('c', ({ pos }) => heard.push(pos));
  await settled();
}

const current = (): Attempt => last(attempts(env));
const names = () => attempts(env).map(({ name }) => name);
const waits = (name: TransportName) => ['longpoll', 'jsonp'].includes(name);

async function pass(ms: number): Promise<void> {
  env.clock.advance(ms);
  await settled();
}
/** Lets time go on until the next thing is due. */
async function next(): Promise<number> {
  const [ms = NaN] = env.clock.pending;
  await pass(ms);
  return ms;
}

/** It brings its first batch. */
async function open(): Promise<void> {
  current().hello();
  await current().send(batch(1));
}
/** It lives for long enough to be proved. */
async function prove(): Promise<void> {
  await open();
  await pass(15_000);
  await current().send(message(2));
}
async function say(text: string, status = 200): Promise<void> {
  const { by } = current();
  if (by instanceof Fetch) await (by.begun ? by.write(`${text}\n`) : by.answer(text, { status }));
  else if (by instanceof Script) by.run(`/**/${by.callback}(${text});`);
  else by.frame(text);
  await settled();
}
async function noStream(): Promise<void> {
  const { by } = current();
  if (by instanceof Wire && by.kind === 'EventSource') by.error(true);
  else await say(by instanceof Script ? '{}' : '<h1>Log in</h1>\n');
  await settled();
}
const unavailable = () => say('{"error":{"code":503,"type":"unavailable","retry_ms":9000}}', 503);

/** Every way to end, and what follows: another transport at once, or this one after so many ms at most. */
const ENDS: Record<string, [end: () => Promise<unknown>, follows: 'other' | number, why?: string]> = {
  'it is refused': [() => current().cut(), 'other'],
  'it is silent': [next, 'other'],
  'the answer is not ours': [noStream, 'other'],
  'it opens, and is silent then': [async () => (await open(), await next()), 'other'],
  'it opens, and is cut': [async () => (await open(), await current().cut()), 1000, 'network'],
  'it opens, brings something, and is silent then': [
    async () => (await open(), await current().send(message(2)), await next()),
    'other',
  ],
  'it is proved, and cut': [async () => (await prove(), await current().cut()), 1000, 'network'],
  'it is proved, and silent then': [async () => (await prove(), await next()), 1000, 'timeout'],
  'it is proved, and cut, and then not ours': [
    async () => (await prove(), await current().cut(), await next(), await noStream()),
    'other',
  ],
  'it drains': [async () => (await open(), await current().send(batch(1, { type: 'drain', retry_ms: 9000 }))), 10_000, 'drain'],
  'it drains at once': [async () => (current().hello(), await current().send(batch(1, { type: 'drain', retry_ms: 9000 }))), 10_000, 'drain'],
  'the client is gone': [async () => (current().hello(), await current().send(batch(1, { type: 'gone' }))), 1000, 'gone'],
};
/** EventSource tells of no error, and a WebSocket of no status. */
const SAID: typeof ENDS = {
  'the server says no': [unavailable, 10_000, 'unavailable'],
  'the server says no later': [async () => (await open(), await unavailable()), 10_000, 'unavailable'],
};
const CLOSED: typeof ENDS = Object.fromEntries(
  [4400, 4429, 4503].map((code) => [`it is closed with ${code}`, [() => current().cut(code), 1000, `close ${code}`]]),
);
/** A proxy may close with these. */
for (const code of [1011, 1012, 1013, 1014]) CLOSED[`it is closed with ${code}`] = [() => current().cut(code), 'other'];

describe.each(ALL)('%s', (name) => {
  const other = name === 'longpoll' ? 'stream' : 'longpoll';
  const cases = { ...ENDS, ...(name !== 'sse' && SAID), ...(name === 'websocket' && CLOSED) };
  test.each(Object.entries(cases))('%s', async (_, [end, follows, why]) => {
    await connect({ transports: [name, other] });
    expect(names()).toEqual([name]);
    await end();
    if (follows === 'other') {
      expect([last(names()), connection.state.name]).toEqual([other, 'connecting']);
    } else {
      expect(connection.state).toMatchObject({ name: 'waiting', why });
      expect(await next()).toBe(follows);
      expect(last(names())).toBe(name);
    }
    expect(connection.transport).toBeUndefined();
  });

  test('brings what it brings, and says by what', async () => {
    await connect({ transports: [name] });
    expect(current().hello()).toEqual({
      ...(name === 'sse' || name === 'jsonp' ? {} : { clients: [{ id: 'a', key: 'k' }], session: expect.any(String) }),
      wait: waits(name) ? 0 : 25_000,
    });
    await current().send(batch(1));
    expect(connection.transport).toBe(name);
    if (!waits(name)) for (const seq of [2, 3]) await current().send(message(seq));
    else for (const seq of [2, 3]) await (current().hello(), current().send(message(seq)));
    expect(heard).toEqual([p(2), p(3)]);
    expect(states).toEqual(['connected']);
    connection.close();
    expect([connection.transport, current().givenUp, env.clock.pending]).toEqual([undefined, true, []]);
  });

  test('goes on where another one was', async () => {
    await connect({ transports: [other, name] });
    await prove();
    await current().cut();
    for (let i = 0; i < 2; i++) {
      await next();
      await current().cut();
    }
    expect(last(names())).toBe(name);
    expect(current().hello().cursor).toBe(p(2));
    await current().send(message(3));
    expect(heard).toEqual([p(2), p(3)]);
  });

  test('is given as long as it may be silent, again with each batch', async () => {
    await connect({ transports: [name], wait: 7000 });
    expect(env.clock.pending).toEqual([waits(name) ? 15_000 : 5000]);
    await open();
    expect(env.clock.pending).toEqual([22_000]);
    await pass(20_000);
    await current().send(batch(2));
    await pass(20_000);
    await current().send(batch(3));
    expect(env.clock.pending).toEqual([22_000]);
    expect(states).toEqual(['connected']);
  });
});

describe('superseded', () => {
  test.each(ALL.slice(0, 3))('by %s goes on at once under another name, and is not told', async (name) => {
    await connect({ transports: [name], session: 'mine' });
    await open();
    await current().send(batch(1, { type: 'superseded' }));
    expect(names()).toEqual([name, name]);
    const { by } = current();
    current().hello();
    const said = by instanceof Fetch ? by.body : by instanceof Wire && by.kind === 'WebSocket' ? by.sent[0] : (by as Wire).url;
    expect(said).toContain('session');
    expect(said).not.toContain('mine');
    await current().send(message(2));
    expect([heard, states]).toEqual([[p(2)], ['connected']]);
  });
});

describe('all of them', () => {
  test('are tried in their order, by what there is', async () => {
    for (const [missing, expected] of [
      [[], ALL],
      [['WebSocket'], ['sse', 'stream', 'longpoll', 'jsonp']],
      [['WebSocket', 'EventSource', 'document'], ['stream', 'longpoll']],
      [['TextDecoderStream'], ['websocket', 'sse', 'longpoll', 'jsonp']],
      [['AbortController', 'TextDecoderStream'], ['websocket', 'sse', 'jsonp']],
      [['self', 'document', 'EventSource'], ['stream', 'websocket', 'longpoll']],
    ] as const) {
      env = new FakeBrowser();
      env.modern();
      for (const name of missing) delete env.native[name];
      await connect();
      while (connection.state.name === 'connecting') await current().cut();
      expect(names()).toEqual(expected);
    }
  });

  test('of a page: in its own order, without those that nobody knows', async () => {
    await connect({ transports: ['longpoll', 'pigeon' as TransportName, 'websocket'] });
    while (connection.state.name === 'connecting') await current().cut();
    expect(names()).toEqual(['longpoll', 'websocket']);
  });

  test.each<Partial<ConnectOptions>>([{ transports: [] }, { transports: ['jsonp'], jsonp: false }, { jsonp: true }])('none of %j', (options) => {
    if (options.jsonp) delete env.native['document'];
    expect(() => createConnection(env, { url: 'http://push', clientId: 'a', key: 'k', ...options })).toThrow(/^none of the transports/);
  });

  test('a policy may forbid some', async () => {
    const forbidden = () => {
      throw new Error('policy');
    };
    env.native['WebSocket'] = env.native['EventSource'] = function () {
      forbidden();
    };
    await connect();
    expect(names()).toEqual(['stream']);
    await open();
    expect(connection.transport).toBe('stream');
    expect(env.reports).toEqual([]);
  });

  test('a server that is down is not asked without rest', async () => {
    await connect();
    const end = env.now() + 600_000;
    let waited = 0;
    while (env.now() < end) {
      if (connection.state.name === 'waiting') waited += await next();
      else await current().cut();
    }
    expect(waited).toBeGreaterThan(590_000);
    expect(names().length).toBeLessThan(75);
    // And when it is back, the best one is there first.
    while (connection.state.name === 'waiting') await next();
    await open();
    expect(connection.transport).toBe('websocket');
  });

  /** Lets the server serve for an hour, or until it returns true. */
  async function serve(how: (attempt: Attempt) => Promise<unknown>): Promise<void> {
    for (const end = env.now() + 3_600_000; env.now() < end; ) {
      if (connection.state.name === 'waiting') await next();
      else if ((await how(current())) === true) return;
    }
  }
  const streams = (attempt: Attempt) => !waits(attempt.name);

  test.each([0, 3000, 14_000])('streams that are cut %d ms after they have opened lead to polls', async (ms) => {
    await connect();
    await serve(async (attempt) => {
      if (!streams(attempt)) return true;
      await open();
      await pass(ms);
      return attempt.cut();
    });
    expect(names()).toEqual([...Array(3).fill('websocket'), ...Array(3).fill('sse'), ...Array(3).fill('stream'), 'longpoll']);
  });

  test.each<[string, (seq: number) => Batch[]]>([
    ['nothing', () => [batch(1)]],
    ['nothing, twice', () => [batch(1), batch(1)]],
    ['something at once', (seq) => [message(seq)]],
    ['something then', (seq) => [batch(seq), message(seq + 1)]],
  ])('a server that opens, brings %s, and cuts, is not asked without rest', async (_, batches) => {
    await connect({ transports: ALL.slice(0, 3) });
    await serve(async (attempt) => {
      attempt.hello();
      for (const one of batches(2 * names().length)) await attempt.send(one);
      await attempt.cut();
    });
    // After each third break the next one is tried at once.
    expect(names().length).toBeLessThan((1.5 * 3_600) / 20 + 20);
  });

  test('are given no more time after many failures than one can wait for', async () => {
    await connect({ transports: ['websocket', 'sse', 'longpoll'] });
    await serve((attempt) => attempt.cut());
    while (connection.state.name === 'waiting') await next();
    for (let i = 0; current().name !== 'longpoll'; i++) {
      expect(i).toBeLessThan(10);
      expect(await next()).toBeLessThanOrEqual(20_000);
    }
    expect(await next()).toBe(60_000);
  });

  test.each([
    ['an error of another shape', '{"error":{"code":404,"message":"no route","status":"NOT_FOUND"}}', 404],
    ['a page', '<h1>no backend</h1>', 503],
  ])("somebody's Retry-After with %s does not keep the others from their turn, and is minded after them", async (_, body, status) => {
    await connect({ transports: ['stream', 'sse'] });
    await env.poll.answer(body, { status, headers: { 'Retry-After': '5' } });
    expect([names(), connection.state.name]).toEqual([['stream', 'sse'], 'connecting']);
    await current().cut();
    expect(await next()).toBe(6000);
    // It is of that round, and of no other.
    for (let i = 0; i < 2; i++) await current().cut();
    expect(await next()).toBe(2000);
  });

  test('a Retry-After is forgotten when another has opened', async () => {
    await connect({ transports: ['stream', 'longpoll'] });
    await env.poll.answer('', { status: 503, headers: { 'Retry-After': '5' } });
    await open();
    await current().cut();
    expect(await next()).toBe(1000);
  });

  test('an EventSource that stalls inside a batch makes no holes', async () => {
    await connect({ transports: ['sse'], cursor: p(1) });
    const gaps: unknown[] = [];
    connection.onGap((gap) => gaps.push(gap));
    await current().send(message(9));
    const { by } = current() as { by: Wire };
    by.event('presence', JSON.stringify({ type: 'presence', channel: 'c', joined: 'bob', id: 12 }));
    for (const seq of [10, 11, 13]) {
      await pass(5000);
      by.event('message', JSON.stringify(message(seq).messages[0]), p(seq));
    }
    by.event('tick', '', p(13));
    expect([gaps, heard]).toEqual([[], [9, 10, 11, 13].map(p)]);
  });

  test('no page without a network walks through them', async () => {
    await connect();
    await prove();
    env.isOnline = false;
    await current().cut();
    for (let i = 0; i < 5; i++) {
      expect(connection.state).toMatchObject({ name: 'waiting', why: 'offline' });
      expect(await next()).toBe(20_000);
      await current().cut();
    }
    env.comeOnline();
    expect(new Set(names())).toEqual(new Set(['websocket']));
    await open();
    expect(connection.transport).toBe('websocket');
  });

  test('the next page begins with what has opened', async () => {
    await connect();
    await current().cut();
    await current().cut();
    await open();
    connection.close();
    await connect();
    expect(last(names())).toBe('stream');
    await connect({ url: 'http://elsewhere' });
    expect(last(names())).toBe('websocket');
  });

  test('who may use others decides nothing for the rest', async () => {
    for (const [transports, first] of [
      [undefined, 'websocket'],
      [['longpoll'], 'longpoll'],
      [['longpoll', 'sse'], 'longpoll'],
      [['sse', 'longpoll'], 'sse'],
      [undefined, 'websocket'],
    ] as const) {
      await connect({ transports });
      expect(last(names())).toBe(first);
      await open();
      connection.close();
    }
  });

  test('an answer that is not ours has the functions asked again, after the last transport', async () => {
    let asked = 0;
    await connect({ transports: ['longpoll', 'sse'], key: () => `k${++asked}` });
    await noStream();
    expect([names(), asked]).toEqual([['longpoll', 'sse'], 1]);
    await noStream();
    await next();
    expect(asked).toBe(2);
  });

  test.each(ALL.slice(0, 3))('a heartbeat of %s ends a row of failures', async (name) => {
    await connect({ transports: [name] });
    const list = [];
    for (let i = 0; i < 3; i++) {
      await current().cut();
      list.push(await next());
    }
    await open();
    await current().cut();
    list.push(await next());
    await open();
    await pass(20_000);
    await current().send(batch(1));
    await current().cut();
    list.push(await next());
    expect(list).toEqual([1000, 2000, 4000, 8000, 1000]);
  });

  test('a refusal is remembered until the functions can be asked again', async () => {
    let asked = 0;
    await connect({ transports: ['longpoll', 'jsonp'], key: () => `k${++asked}` });
    await say('Not Found', 404);
    expect([names(), asked]).toEqual([['longpoll', 'jsonp'], 1]);
    await current().cut();
    await next();
    expect(asked).toBe(2);
  });
});
