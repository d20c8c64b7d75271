// Runs the stock clients against a server. The argument is JSON, see DEFAULTS. What
// comes of each case is printed as a line of JSON, and orders for the Go test too.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { admin, everyNumber, Numbers, order, Peer, TRANSPORTS, until, VERSIONS } from './kit.mjs';
import { Relay } from './relay.mjs';
import { inTime, pause } from './wire.mjs';

const DEFAULTS = {
  base: '', // where Socket.IO is
  admin: '', // where the admin API is
  open: '', // where the conformance server is
  versions: Object.keys(VERSIONS),
  transports: Object.keys(TRANSPORTS),
  only: '', // words of a case's name
  stock: false, // whether it is the stock server, and cannot do what only ours can
  restart: false, // whether there is somebody who restarts the server if ordered
};
const options = { ...DEFAULTS, ...JSON.parse(process.argv[2]) };
const call = admin(options.admin);
/** So that a server can be used again. */
const RUN = randomBytes(3).toString('hex');

/** What a case works with: a version of the client and its transports. */
class Kit {
  #made = [];
  #next = 0;

  constructor(version, transports, name) {
    Object.assign(this, { version, transports, name });
  }

  /** A name that nobody else has. */
  called(what) {
    return `${what} ${this.version} ${this.transports} ${this.name} ${RUN}`;
  }

  /** Makes a client on channels, and a peer of it. */
  async reader(channels, { base = options.base, ...more } = {}) {
    const who = await this.client(`reader ${this.#next++}`, channels);
    return this.keep(Peer.connect(this.version, base, who, { transports: TRANSPORTS[this.transports], ...more }));
  }

  async client(what, channels = []) {
    const id = this.called(what);
    const key = await call('create_client', { client_id: id });
    for (const channel of channels) await call('subscribe', { client_id: id, channel_name: channel });
    return { client_id: id, key };
  }

  peer(base, who, more) {
    return this.keep(Peer.connect(this.version, base, who, { transports: TRANSPORTS[this.transports], ...more }));
  }

  async relay() {
    return this.keep(await Relay.start(options.base));
  }

  keep(what) {
    this.#made.push(what);
    return what;
  }

  end() {
    for (const made of this.#made) made.close();
  }

  /** Recovery came with 4.6; others begin anew. */
  get recovers() {
    return this.version === '4.8';
  }

  /** A room with nobody else in it. What old clients take for their id is that of the connection. */
  room(peer) {
    return peer.old ? `client:${peer.who.client_id}` : peer.sid;
  }

  /** Waits until it is carried by what it should be in the end. */
  settled(peer) {
    const last = TRANSPORTS[this.transports].at(-1);
    return until(() => peer.transport === last, () => `carried by ${last}, and not ${peer.transport}`);
  }
}

const numbersOf = (peer) => peer.heard.map(([, message]) => message.data);

async function readsMessages(kit) {
  const room = kit.called('room');
  const peer = await kit.reader([room]);
  await peer.is('connect');
  await kit.settled(peer);
  // By a poll, version 1 can be told ASCII only: it wants UTF-8 in UTF-8, which version 2 does not.
  const text = kit.version === '1' ? 'e' : 'é€😀';
  const all = ['hello', { a: [text, null, 1.5] }, null, 'x'.repeat(200_000)];
  for (const data of all) await call('publish', { channel: room, data, sender: 'bob' });
  await until(() => peer.heard.length >= 4, 'four messages');
  const [, { id: first }] = peer.heard[0];
  assert.deepEqual(
    peer.heard.map(([name, { channel, id, sender }]) => [name, channel, id, sender]),
    [0, 1, 2, 3].map((i) => ['message', room, first + i, 'bob']),
  );
  assert.deepEqual(peer.heard.map(([, { data }]) => data), all);
}

async function isRefused(kit) {
  const room = kit.called('room');
  const { client_id: id } = await kit.client('reader 0', [room]);
  for (const who of [{ client_id: id, key: '0'.repeat(32) }, { client_id: 'nobody of this name', key: '0'.repeat(32) }, {}]) {
    const peer = kit.peer(options.base, who);
    const [, refusal] = await peer.is('refused');
    const data = peer.old ? refusal : refusal.data;
    assert.deepEqual(data, { code: 401, type: 'unauthorized' });
    if (!peer.old) assert.equal(refusal.message, 'unauthorized');
    await call('publish', { channel: room, data: 'not for you' });
    await pause(50);
    assert.deepEqual([peer.times('connect'), peer.heard], [0, []]);
  }
  const peer = await kit.reader([], { namespace: '/none' });
  const [, refusal] = await peer.is('refused');
  assert.equal(refusal.message ?? refusal, 'Invalid namespace');
  // A token says the same.
  if (peer.old) return;
  const { key } = await kit.client('token');
  const by = kit.peer(options.base, { token: `${kit.called('token')}_!!_${key}` });
  await by.is('connect');
}

async function hearsEmits(kit) {
  const [one, two] = [kit.called('one'), kit.called('two')];
  const inOne = await kit.reader([one]);
  const inBoth = await kit.reader([one, two]);
  const inNone = await kit.reader([]);
  const all = [inOne, inBoth, inNone];
  for (const peer of all) await peer.is('connect');
  const [roomOfOne, roomOfNone] = [kit.room(inOne), kit.room(inNone)];
  const emit = (n, to, more) => call('emit', { event: 'news', args: [n, { to }], to, ...more });
  const others = { except: [one, two, `client:${inNone.who.client_id}`] };
  await emit(1, [one, two]);
  await emit(2, [two]);
  await emit(3, [roomOfNone]);
  await emit(4, [`client:${inNone.who.client_id}`]);
  await emit(5, [one, two], { except: [roomOfOne] });
  await emit(6, [one], { except: [two] });
  await emit(7, [kit.called('nobody here')]);
  await call('unsubscribe', { client_id: inBoth.who.client_id, channel_name: two });
  await call('subscribe', { client_id: inNone.who.client_id, channel_name: two });
  await emit(8, [two]);
  await call('emit', { event: kit.called('to all'), args: [9], ...others });
  for (const peer of all) peer.listen(kit.called('last'));
  await call('emit', { event: kit.called('last') });
  const last = [kit.called('last')];
  const news = (n, ...to) => ['news', n, { to }];
  await inOne.hears(news(1, one, two), news(6, one), last);
  await inBoth.hears(news(1, one, two), news(2, two), news(5, one, two), last);
  await inNone.hears(news(3, roomOfNone), news(4, `client:${inNone.who.client_id}`), news(8, two), last);
}

async function hearsBytes(kit) {
  const room = kit.called('room');
  const peer = await kit.reader([room]);
  await peer.is('connect');
  const bytes = (n) => Buffer.from(Array.from({ length: n }, (_, i) => i % 256));
  const object = (n) => ({ $binary: bytes(n).toString('base64') });
  const emit = (...args) => call('emit', { event: 'news', args, to: [room] });
  await emit(object(4));
  await emit(1, { a: [object(0), 'x', object(1000)] });
  await emit(object(150_000), 'last');
  await kit.settled(peer);
  await emit(object(300), object(3));
  await peer.hears(
    ['news', bytes(4)],
    ['news', 1, { a: [bytes(0), 'x', bytes(1000)] }],
    ['news', bytes(150_000), 'last'],
    ['news', bytes(300), bytes(3)],
  );
}

async function hasNamespaces(kit) {
  const room = kit.called('room');
  const main = await kit.reader([room]);
  await main.is('connect');
  const other = main.of('/custom');
  await other.is('connect');
  assert.equal(main.socket.io, other.socket.io, 'one connection');
  await call('emit', { event: 'news', args: ['main'], to: [room] });
  const to = () => [kit.room(other)];
  await call('emit', { event: 'news', args: ['other'], to: to(), namespace: '/custom' });
  await main.hears(['news', 'main']);
  await other.hears(['news', 'other']);
  other.socket.disconnect();
  await other.is('disconnect');
  await call('emit', { event: 'news', args: ['still'], to: [room] });
  await main.hears(['news', 'main'], ['news', 'still']);
  other.socket.connect();
  await other.is('connect', 2);
  await call('emit', { event: 'news', args: ['again'], to: to(), namespace: '/custom' });
  await other.hears(['news', 'other'], ['news', 'again']);
}

async function asksAndIsAnswered(kit) {
  const peer = kit.peer(options.open, { a: 'b' });
  await peer.is('connect');
  if (!peer.old) await peer.hears(['auth', { a: 'b' }]);
  else await until(() => peer.heard.length === 1, 'auth');
  peer.heard.length = 0;
  const ask = (...args) => inTime(new Promise((resolve) => peer.socket.emit('message-with-ack', ...args, (...answer) => resolve(answer))), 'the answer', 20_000);
  const bytes = Buffer.from([1, 2, 3]);
  const text = kit.version === '1' ? 'e' : 'é€😀';
  assert.deepEqual(await ask(1, text, { a: [null] }), [1, text, { a: [null] }]);
  const [answered, more] = await ask(bytes, { deep: bytes });
  assert.deepEqual([Buffer.from(answered), Buffer.from(more.deep)], [bytes, bytes]);
  const expected = [];
  for (let i = 0; i < 50; i++) {
    const args = i % 10 === 0 ? [i, { bytes: Buffer.alloc(i, i) }] : [i];
    peer.socket.emit('message', ...args);
    expected.push(['message-back', ...args]);
    if (i === 25) await kit.settled(peer);
  }
  await peer.hears(...expected);
  const long = 'x'.repeat(300_000);
  assert.deepEqual(await ask(long), [long]);
  assert.deepEqual(await Promise.all([...Array(20).keys()].map((i) => ask(i))), [...Array(20).keys()].map((i) => [i]));
  if (kit.version !== '4.8') return;
  assert.deepEqual(await peer.socket.timeout(10_000).emitWithAck('message-with-ack', 7), 7);
  await assert.rejects(peer.socket.timeout(100).emitWithAck('nobody answers this', 7));
}

/** How a connection is cut, and whether the client hears of it at once. */
const CUTS = {
  'the client closes its end': ({ engine }) => void engine.close(),
  'the wire is cut': (_, relay) => relay.cut(),
  'the wire is dead': (_, relay) => relay.mute(),
};

const comesBack = (cut) => async (kit) => {
  const room = kit.called('room');
  const relay = await kit.relay();
  const peer = await kit.reader([room], { base: relay.base });
  const [, sid] = await peer.is('connect');
  await kit.settled(peer);
  const numbers = new Numbers(call, room);
  const times = cut.includes('dead') ? 1 : 5;
  for (let i = 1; i <= times; i++) {
    const before = peer.heard.length;
    await until(() => peer.heard.length >= before + 5, 'it hears');
    // Between two polls there is nothing to cut.
    await until(() => CUTS[cut](peer, relay) || peer.times('disconnect') >= i, `disconnected for the ${i}. time`);
    const [, now, recovered] = await peer.is('connect', i + 1);
    // A stock server may believe that the last answer to a poll has arrived, and the session lives.
    if (options.stock && kit.transports === 'polling' && !recovered) return;
    if (kit.recovers) assert.deepEqual([now, recovered], [sid, true], `after the ${i}. time`);
  }
  const before = peer.heard.length;
  await until(() => peer.heard.length >= before + 5, 'it hears again');
  await numbers.end();
  await until(() => numbersOf(peer).at(-1) === numbers.last, 'it hears the last');
  const heard = numbersOf(peer);
  if (kit.recovers) return everyNumber(heard, heard[0], numbers.last);
  // Without recovery some are missing, but none is doubled or out of order.
  assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b));
};

// What a stock server cannot: it knows no place before the first event, and
// volatile ones spoil it.
async function comesBackFromAnywhere(kit) {
  if (!kit.recovers || options.stock) return;
  const room = kit.called('room');
  const relay = await kit.relay();
  const peer = await kit.reader([room], { base: relay.base });
  const [, sid] = await peer.is('connect');
  await kit.settled(peer);
  const emit = (event, volatile) => call('emit', { event: 'news', args: [event], to: [room], volatile });
  const heard = (event) => peer.heard.some(([, what]) => what === event);
  const cut = async (times, event) => {
    await until(() => relay.cut() || peer.times('disconnect') >= times - 1, 'disconnected');
    await emit(event, false);
    const [, now, recovered] = await peer.is('connect', times);
    assert.deepEqual([now, recovered], [sid, true], event);
    await until(() => heard(event), event);
  };
  await cut(2, 'before any');
  // Between two polls it cannot be taken.
  while (!heard('passing')) await emit('passing', true).then(() => pause(20));
  await cut(3, 'after what is passing');
  const lasting = peer.heard.filter(([, event]) => event !== 'passing').map(([, event]) => event);
  assert.deepEqual(lasting, ['before any', 'after what is passing']);
}

async function isSentAway(kit) {
  const room = kit.called('room');
  const peer = await kit.reader([room]);
  const [, sid] = await peer.is('connect');
  await kit.settled(peer);
  await call('publish', { channel: room, data: 1 });
  await until(() => peer.heard.length === 1, 'a message');
  // The transport is closed: it comes back.
  await call('disconnect', { client_id: peer.who.client_id });
  const [, reason] = await peer.is('disconnect');
  assert.ok(['transport close', 'transport error'].includes(reason), reason);
  const [, now, recovered] = await peer.is('connect', 2);
  if (kit.recovers) assert.deepEqual([now, recovered], [sid, true]);
  await kit.settled(peer);
  await call('publish', { channel: room, data: 2 });
  await until(() => peer.heard.length === 2, 'another message');
  // It is told to leave: it does not.
  await call('kill_client', { client_id: peer.who.client_id });
  const [, why] = await peer.is('disconnect', 2);
  assert.equal(why, 'io server disconnect');
  await pause(500); // more than it waits before it tries again
  assert.equal(peer.times('connect'), 2);
  assert.deepEqual(numbersOf(peer), [1, 2]);
}

const CASES = [
  ['it reads messages', readsMessages],
  ['it is refused', isRefused],
  ['it hears what is emitted to rooms', hearsEmits],
  ['it hears bytes', hearsBytes],
  ['it has several namespaces', hasNamespaces],
  ['it asks and is answered', asksAndIsAnswered],
  ...Object.keys(CUTS).map((cut) => [`it comes back after ${cut}`, comesBack(cut)]),
  ['it comes back from anywhere', comesBackFromAnywhere],
  ['it is sent away', isSentAway],
];

/** Plays a case, and prints what comes of it. */
async function play(kit, run) {
  const begun = performance.now();
  let error;
  try {
    await inTime(run(kit), 'the whole case', 90_000);
  } catch (thrown) {
    error = thrown.stack;
  }
  kit.end();
  const name = `${kit.version}, ${kit.transports}: ${kit.name}`;
  console.log(JSON.stringify({ case: name, ms: Math.round(performance.now() - begun), error }));
  return error === undefined;
}

/** A server that restarts has forgotten who was there: each is made anew, and comes back with another key. */
async function restart() {
  const name = 'it outlives the server';
  const kits = options.versions.flatMap((version) => options.transports.map((transports) => new Kit(version, transports, name)));
  const peers = new Map();
  for (const kit of kits) peers.set(kit, await kit.reader([kit.called('room')]));
  const restarted = Promise.all([...peers.values()].map((peer) => peer.is('connect'))).then(() => order('restart'));
  return Promise.all(
    kits.map((kit) =>
      play(kit, async () => {
        const peer = peers.get(kit);
        await restarted;
        await peer.is('disconnect');
        // The old key may be refused before there is a new one.
        const who = await kit.client('reader 0', [kit.called('room')]);
        Object.assign(peer.who, who);
        await until(() => {
          if (peer.socket.connected) return true;
          if (peer.times('refused') > 0) {
            peer.told = peer.told.filter(([what]) => what !== 'refused');
            peer.again();
          }
          return false;
        }, 'it is connected again');
        await call('publish', { channel: kit.called('room'), data: 'new' });
        await until(() => peer.heard.length > 0, 'a message');
        assert.deepEqual(numbersOf(peer), ['new']);
      }),
    ),
  );
}

const chosen = CASES.filter(([name]) => name.includes(options.only));
const results = await Promise.all(
  options.versions.flatMap((version) =>
    options.transports.map(async (transports) => {
      let fine = true;
      for (const [name, run] of chosen) fine = (await play(new Kit(version, transports, name), run)) && fine;
      return fine;
    }),
  ),
);
if (options.restart && 'it outlives the server'.includes(options.only)) results.push(...(await restart()));
process.exit(results.every(Boolean) ? 0 : 1);
