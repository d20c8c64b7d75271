// The wire by hand, for cases.mjs: sessions of Engine.IO over HTTP and WebSocket.

import { WebSocket } from 'ws';

/** What nothing that is to happen takes. */
const PATIENCE = 5_000;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fails a promise that takes too long. */
export function inTime(promise, what, ms = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** How the two protocols put packets into the body of a request. */
const JOIN = {
  4: (packets) => packets.join('\x1e'),
  3: (packets) => packets.map((packet) => `${packet.length}:${packet}`).join(''),
};

/** A door of Engine.IO: a path of a server, and a protocol. */
export class Door {
  /** How many ms later than promised it may notice that nobody is there. */
  slack = 0;

  constructor(base, path, eio = 4) {
    Object.assign(this, { base, path, eio });
  }

  url(query) {
    return `${this.base}${this.path}?${new URLSearchParams(query)}`;
  }

  /** A request with these words behind the question mark, and no others. */
  async request(query, init = {}) {
    const response = await inTime(fetch(this.url(query), init), `${init.method ?? 'GET'} ${JSON.stringify(query)}`);
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** Begins a session; `begun` is what it is told at first. */
  async poll(more = {}) {
    const query = { EIO: this.eio, transport: 'polling', ...more };
    const { status, text } = await this.request(query);
    if (status !== 200) throw new Error(`the handshake is answered ${status} ${text}`);
    const begun = JSON.parse(text.slice(text.indexOf('{')));
    return new Polling(this, { ...query, sid: begun.sid }, begun, text);
  }

  /** Opens a WebSocket with these words behind the question mark, and no others. */
  dial(query) {
    return new Socket(this.url(query).replace('http', 'ws'));
  }

  /** Begins a session by WebSocket. */
  async socket() {
    const socket = this.dial({ EIO: this.eio, transport: 'websocket' });
    socket.begun = await socket.text();
    return socket;
  }
}

/** A session that polls. */
class Polling {
  constructor(door, query, begun, first) {
    Object.assign(this, { door, query, begun, first });
  }

  get(init) {
    return this.door.request(this.query, init);
  }

  post(...packets) {
    return this.door.request(this.query, { method: 'POST', body: JOIN[this.door.eio](packets) });
  }

  /** A second way to the same session. */
  dial() {
    return this.door.dial({ ...this.query, transport: 'websocket' });
  }

  payload(...packets) {
    return JOIN[this.door.eio](packets);
  }
}

/** A WebSocket that keeps what has come until it is asked for. */
class Socket {
  #come = [];
  #waiting = [];
  closed = false;

  constructor(url) {
    this.#socket = new WebSocket(url);
    this.opened = inTime(new Promise((resolve) => this.#socket.on('open', resolve)), `${url} opens`);
    this.opened.catch(() => {}); // for who does not ask
    this.#socket.on('error', () => {}); // it closes as well
    this.#socket.on('message', (data, binary) => this.#take(binary ? data : data.toString()));
    this.#socket.on('close', () => {
      this.closed = true;
      this.#take(undefined);
    });
  }

  #socket;

  #take(what) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(what);
    else this.#come.push(what);
  }

  send(...all) {
    for (const data of all) this.#socket.send(data);
  }

  /** The next that comes: a string, bytes, or undefined if it closes. */
  next(ms) {
    if (this.#come.length) return Promise.resolve(this.#come.shift());
    return inTime(new Promise((resolve) => this.#waiting.push(resolve)), 'the next message', ms);
  }

  async text(ms) {
    const data = await this.next(ms);
    if (typeof data !== 'string') throw new Error(`there is no text but ${data === undefined ? 'the end' : data.toString('hex')}`);
    return data;
  }

  /** The next that is no heartbeat. */
  async news() {
    for (;;) {
      const data = await this.next();
      if (data !== '2') return data;
      this.send('3');
    }
  }

  /** Waits for the end, whatever comes before. */
  async end(ms) {
    while ((await this.next(ms)) !== undefined);
  }

  close() {
    this.#socket.terminate();
  }
}

/** How late this program gets to do what is due, and how long the server takes for an answer, at the most. */
class Lateness {
  max = 0;
  #timer;
  #ended = false;

  constructor(base) {
    let due = performance.now() + 10;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.max = Math.max(this.max, now - due);
      due = now + 10;
    }, 10);
    void this.#ask(base);
  }

  async #ask(base) {
    while (!this.#ended) {
      const asked = performance.now();
      await fetch(base, { method: 'HEAD' }).catch(() => {});
      this.max = Math.max(this.max, performance.now() - asked);
      await pause(10);
    }
  }

  end() {
    this.#ended = true;
    clearInterval(this.#timer);
  }
}

/** How late they may be, in ms, for a failure to count, and how often it is tried: the cases have 200 ms for an answer. */
const LATE = 50;
const TRIES = 5;

/** How many cases are played at once: most of their time they wait. */
const AT_ONCE = 3;

/** Runs cases against the server at `base`, and prints what comes of each as a line of JSON. Returns how many have failed. */
export async function run(base, cases, only = '') {
  let failed = 0;
  const left = cases.filter(([name]) => name.includes(only));
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [name, play] = next;
      const begun = performance.now();
      const error = await tried(base, play);
      if (error) failed++;
      console.log(JSON.stringify({ case: name, ms: Math.round(performance.now() - begun), error }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return failed;
}

/** Plays a case, again if it could not be in time; returns the error, if there is one. */
async function tried(base, play) {
  for (let tries = 1; ; tries++) {
    const lateness = new Lateness(base);
    try {
      await inTime(Promise.resolve().then(play), 'the whole case', 4 * PATIENCE);
      return undefined;
    } catch (thrown) {
      if (lateness.max < LATE || tries === TRIES) return thrown.stack;
    } finally {
      lateness.end();
    }
  }
}
