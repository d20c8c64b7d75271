// A push server of a hundred lines, as the browser sees it: the poll of the
// original, the readable errors for requests marked v=2, and the script.

import { listen, SCRIPT } from './browser.mjs';

const CALLBACK = /^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*|\[\d+\])*$/;

export class Push {
  /** Polls in the order they came: `{method, url, headers, open}`. */
  polls = [];
  /** All requests but polls, by method and path. */
  others = [];
  /** How long a poll is held. */
  hold = 25_000;
  /** Set to answer every poll with this body and status. */
  failure = undefined;

  #keys = new Map();
  #channels = new Map();
  #parked = new Set();
  #server;

  static async start(port) {
    const push = new Push();
    await push.listen(port);
    return push;
  }

  async listen(port = this.#server?.port) {
    this.#server = await listen((request, response) => this.#handle(request, response), port);
  }

  get origin() {
    return this.#server.origin;
  }

  close() {
    return this.#server.close();
  }

  /** Makes a client that hears `channels`. */
  client(id, key, ...channels) {
    this.#keys.set(id, key);
    for (const name of channels) this.#channel(name).cursors.set(id, this.#channel(name).rows.length);
  }

  kill(id) {
    this.#keys.delete(id);
  }

  publish(name, text, sender = 'backend') {
    const { rows } = this.#channel(name);
    rows.push([rows.length + 1, text, sender]);
    for (const poll of [...this.#parked]) this.#answer(poll);
  }

  /** Polls under way. */
  get parked() {
    return this.#parked.size;
  }

  #channel(name) {
    if (!this.#channels.has(name)) this.#channels.set(name, { rows: [], cursors: new Map() });
    return this.#channels.get(name);
  }

  #handle(request, response) {
    const url = new URL(request.url, this.origin);
    if (url.pathname !== '/message_updates') {
      this.others.push(`${request.method} ${url.pathname}`);
      if (url.pathname !== '/static/shaveet.js') return response.writeHead(404).end();
      return response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(SCRIPT);
    }

    const seen = { method: request.method, url, headers: request.headers, open: true };
    this.polls.push(seen);
    response.on('close', () => (seen.open = false));

    const callback = url.searchParams.get('callback');
    const tokens = url.searchParams.getAll('client_id').map((token) => token.split('_!!_'));
    if (!CALLBACK.test(callback) || callback.length > 128 || !tokens.length) return response.writeHead(400).end();
    if (this.failure) return this.#error(url, response, this.failure);
    const refused = tokens.filter(([id, key]) => this.#keys.get(id) !== key).map(([id]) => id);
    if (refused.length) return this.#error(url, response, { code: 404, type: 'gone', clients: refused });

    const poll = { response, callback, ids: tokens.map(([id]) => id) };
    this.#parked.add(poll);
    const timer = setTimeout(() => this.#send(poll, {}), this.hold);
    response.on('close', () => {
      clearTimeout(timer);
      this.#parked.delete(poll);
    });
    this.#answer(poll);
  }

  /** Answers a parked poll if there is something for it. */
  #answer(poll) {
    const news = new Map();
    for (const [name, { rows, cursors }] of this.#channels) {
      const mine = poll.ids.filter((id) => cursors.has(id));
      const from = Math.min(...mine.map((id) => cursors.get(id)));
      if (!mine.length || from >= rows.length) continue;
      news.set(name, rows.slice(from));
      for (const id of mine) cursors.set(id, rows.length);
    }
    if (news.size) this.#send(poll, Object.fromEntries(news));
  }

  #send({ response, callback }, value, status = 200, headers = {}) {
    for (const poll of this.#parked) if (poll.response === response) this.#parked.delete(poll);
    response
      .writeHead(status, {
        'Content-Type': 'text/javascript; charset=utf-8',
        'X-Content-Type-Options': 'nosniff',
        'Cache-Control': 'no-cache',
        'Access-Control-Allow-Origin': '*',
        ...headers,
      })
      .end(`/**/${callback}(${JSON.stringify(value)});`);
  }

  #error({ searchParams }, response, error) {
    if (searchParams.get('v') !== '2') {
      return response.writeHead(error.code, { 'Content-Type': 'text/plain' }).end('Not Found\r\n');
    }
    const status = searchParams.get('jsonp') === '1' ? 200 : error.code;
    this.#send({ response, callback: searchParams.get('callback') }, { error }, status);
  }
}
