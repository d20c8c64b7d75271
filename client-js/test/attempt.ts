/** The other side of a connection, by whatever transport it comes. */

import type { ChannelMessage, TransportName } from '../src/types';
import { type FakeBrowser, Fetch, Script, settled, Wire } from './fakes';

export const ALL: TransportName[] = ['websocket', 'sse', 'stream', 'longpoll', 'jsonp'];

export interface Batch {
  cursor?: string;
  signals: { type: string; cursor?: string }[];
  messages: ChannelMessage[];
}

/** What was asked of the server, in order. */
export const attempts = (env: FakeBrowser) => env.requests.map((by) => new Attempt(by));

/** One request of the page, and what the other side can do with it. */
export class Attempt {
  readonly name: TransportName;
  cursor: string | undefined;
  begun = false;
  ended = false;

  constructor(readonly by: Fetch | Wire | Script) {
    if (by instanceof Wire) this.name = by.kind === 'WebSocket' ? 'websocket' : 'sse';
    else if (by instanceof Script) this.name = 'jsonp';
    else this.name = by.url.endsWith('/stream') ? 'stream' : 'longpoll';
  }

  get streams(): boolean {
    return ['websocket', 'sse', 'stream'].includes(this.name);
  }

  get givenUp(): boolean {
    const { by } = this;
    if (by instanceof Wire) return by.closed;
    return by instanceof Script ? !by.onPage : by.signal.aborted;
  }

  hello(): { cursor?: string; wait: number } {
    const { by } = this;
    if (by instanceof Wire && by.kind === 'WebSocket') {
      by.open();
      return JSON.parse(by.sent[0]!);
    }
    if (by instanceof Fetch) return JSON.parse(by.body!);
    const query = new URL(by.url).searchParams;
    const cursor = query.get('cursor');
    return { wait: Number(query.get('wait')), ...(cursor ? { cursor } : {}) };
  }

  /** Sends a batch: whole, or (`part`) cut somewhere, after which the connection breaks. */
  async send(batch: Batch, part = 1): Promise<void> {
    const { by } = this;
    const text = JSON.stringify(batch);
    const cut = text.slice(0, Math.floor(part * text.length));
    if (by instanceof Script) {
      if (part === 1) by.run(`/**/${by.callback}(${text});`);
      else by.end();
      await settled();
    } else if (by instanceof Fetch) {
      if (!this.streams) await (part === 1 ? by.answer(text) : by.answer(cut));
      else await by.write(part === 1 ? `${text}\n` : cut);
    } else if (by.kind === 'WebSocket') {
      if (part === 1) by.frame(text);
    } else {
      this.events(by, batch, part);
    }
    if (!this.streams) this.ended = true;
    else if (part < 1) await this.cut();
  }

  private events(by: Wire, { cursor, signals, messages }: Batch, part: number): void {
    const list: [string, object | undefined, string | undefined][] = signals.map((s) => [s.type, s, s.cursor]);
    for (const m of messages) list.push(['message', m, m.pos]);
    if (cursor && (signals.length || !messages.length)) list.push(['tick', undefined, cursor]);
    for (const [type, data, id] of list.slice(0, Math.ceil(part * list.length))) {
      by.event(type, data && JSON.stringify(data), id);
    }
  }

  /** Nothing came, or no more. */
  async cut(code = 1006): Promise<void> {
    this.ended = true;
    const { by } = this;
    if (by instanceof Script) by.end();
    else if (by instanceof Fetch) await (by.begun ? by.cut() : by.fail());
    else if (by.kind === 'WebSocket') by.end(code);
    else by.error(code === 4503);
    await settled();
  }
}
