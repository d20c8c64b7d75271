// What the tests with the stock clients share: the clients of all versions behind
// one face, the admin API, and orders to the Go test.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pause } from './wire.mjs';

const require = createRequire(import.meta.url);

/** How the stock clients are made, by version. */
export const VERSIONS = {
  4.8: () => require('socket.io-client').io,
  '4.0': () => require('socket.io-client-4.0').io,
  2: () => require('socket.io-client-2'),
  1: () => require('socket.io-client-1'),
};

/** The transports that a client is told. */
export const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrading: ['polling', 'websocket'] };

/** What may take long on a busy machine. */
export const PATIENCE = 30_000;

/** Waits until it is so. */
export async function until(condition, what, ms = PATIENCE) {
  for (const end = Date.now() + ms; !condition(); await pause(10)) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === 'function' ? what() : what}`);
  }
}

/** The admin API at an address. */
export function admin(base) {
  return async (method, params = {}) => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const response = await fetch(`${base}/`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    const { result, error } = await response.json();
    if (error) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  };
}

let asked = 0;
const waiting = new Map();

/** Has whoever started us do something: a line of JSON each way, with the same id. */
export function order(what) {
  if (asked++ === 0) {
    createInterface({ input: process.stdin }).on('line', (line) => {
      const { id, error } = JSON.parse(line);
      const { resolve, reject } = waiting.get(id);
      if (error) reject(new Error(`${what}: ${error}`));
      else resolve();
    });
  }
  return new Promise((resolve, reject) => {
    waiting.set(asked, { resolve, reject });
    console.log(JSON.stringify({ id: asked, order: what }));
  });
}

/** A stock client: a socket in a namespace, and what it has heard. */
export class Peer {
  heard = [];
  told = [];

  /** Who it is is `{client_id, key}`, which may change. */
  constructor(version, socket, who) {
    Object.assign(this, { version, socket, who });
    this.#follow();
  }

  static connect(version, base, who, { namespace = '/', ...others } = {}) {
    const socket = VERSIONS[version]()(base + namespace, {
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 200,
      timeout: 10_000,
      ...saying(version, who),
      ...others,
    });
    return new Peer(version, socket, who);
  }

  /** Another namespace on the same connection. */
  of(namespace) {
    return new Peer(this.version, this.socket.io.socket(namespace, saying(this.version, this.who)), this.who);
  }

  /** Tries anew after a refusal, by another key perhaps. */
  again() {
    if (!this.old) return this.socket.connect();
    this.socket.disconnect();
    this.socket.io.opts.query = { ...this.who };
    this.socket.open();
  }

  /** Of the protocols before Engine.IO 4. */
  get old() {
    return isOld(this.version);
  }

  #follow() {
    const { socket, told } = this;
    socket.on('connect', () => told.push(['connect', socket.id, socket.recovered]));
    socket.on('disconnect', (reason) => told.push(['disconnect', reason]));
    socket.on(this.old ? 'error' : 'connect_error', (error) => {
      // A connection that has not come about is tried again by itself.
      if (isNetwork(error)) return;
      told.push(['refused', this.old ? error : { message: error.message, data: error.data }]);
    });
    for (const name of NAMES) socket.on(name, (...args) => this.heard.push([name, ...args]));
  }

  listen(name) {
    this.socket.on(name, (...args) => this.heard.push([name, ...args]));
  }

  times(what) {
    return this.told.filter(([name]) => name === what).length;
  }

  /** Waits until it has been told this as often; returns what it was told then. */
  async is(what, times = 1) {
    await until(() => this.times(what) >= times, () => `${what} for the ${times}. time; it was told ${JSON.stringify(this.told)}`);
    return this.told.filter(([name]) => name === what)[times - 1];
  }

  /** Waits until so many events have been heard, and checks them: an argument more, the offset, may be there. */
  async hears(...expected) {
    await until(() => this.heard.length >= expected.length, () => `hears ${expected.length} events; it heard ${JSON.stringify(this.heard).slice(-2000)}`);
    const heard = JSON.stringify(this.heard).slice(0, 2000);
    for (const [i, event] of expected.entries()) {
      assert.deepEqual(plain(this.heard[i].slice(0, event.length)), plain(event), `it heard ${heard}`);
      const more = this.heard[i].slice(event.length);
      assert.ok(more.length === 0 || (more.length === 1 && typeof more[0] === 'string'), `what follows: ${JSON.stringify(more)}`);
    }
    assert.equal(this.heard.length, expected.length, `it heard more: ${heard}`);
  }

  /** The public id. */
  get sid() {
    return this.socket.id;
  }

  get engine() {
    return this.socket.io.engine;
  }

  /** What it is carried by now. */
  get transport() {
    return this.engine?.transport?.name;
  }

  close() {
    this.socket.disconnect();
    (this.socket.io._close ?? this.socket.io.close).call(this.socket.io);
  }
}

/** Events that all peers listen to. */
const NAMES = ['message', 'news', 'auth', 'message-back'];

const isOld = (version) => version === '1' || version === '2';

/** The option by which a client says who it is. */
const saying = (version, who) => (isOld(version) ? { query: { ...who } } : { auth: (tell) => tell({ ...who }) });

const isNetwork = (error) => error.type === 'TransportError' || /xhr|websocket error|timeout/.test(error.message);

/** With bytes of all kinds as Buffers, and no prototypes in the way. */
const plain = (value) => {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
};

/** A publisher of numbers, one at a time. */
export class Numbers {
  last = 0;
  #on = true;

  constructor(call, channel, gap = 5) {
    this.#running = (async () => {
      while (this.#on) {
        await call('publish', { channel, data: this.last + 1 });
        this.last++;
        await pause(gap);
      }
    })();
  }

  #running;

  end() {
    this.#on = false;
    return this.#running;
  }
}

/** Checks that numbers are all there, once, in order. */
export function everyNumber(numbers, from, to) {
  for (const [i, n] of numbers.entries()) {
    if (n !== from + i) throw new Error(`behind ${numbers.slice(Math.max(0, i - 3), i)} comes ${numbers.slice(i, i + 5)}, want ${from + i}`);
  }
  assert.equal(from + numbers.length - 1, to, `the last of ${numbers.length}`);
}
