/**
 * The ways to read the modern wire. A stream brings many batches, a poll one.
 *
 * A link reports what comes and that it has ended, and decides nothing.
 */

import { failed, type News, read, readText } from './batch';
import type { Environment } from './environment';
import { cors, jsonp, token } from './transports';
import type { TransportName } from './types';

/** What to read. */
export interface Hello {
  readonly clients: readonly [{ readonly id: string; readonly key: string }];
  readonly session: string;
  readonly cursor: string | undefined;
  /** How long the server may keep silent, in ms. */
  readonly wait: number;
}

/**
 * Begins to read, and returns the function that gives it up. `sink` is called
 * with each batch, and when no more will come: once by a poll. Never before
 * that function is returned; perhaps also after it was called, or again after
 * the end. May throw, where the browser forbids what it would do.
 */
export type Link = (env: Environment, url: string, hello: Hello, sink: (news: News) => void) => () => void;

// A body, and the first word on a socket, is plain text, which needs no
// preflight; and the key is in no address.

/** One poll by CORS. */
export const byPost: Link = (env, url, hello, sink) =>
  cors(env, `${url}/longpoll`, readText, sink, JSON.stringify(hello));

/** A stream by CORS: a batch on each line. */
export const byStream: Link = (env, url, hello, sink) =>
  cors(env, `${url}/stream`, readText, sink, JSON.stringify(hello), true);

/**
 * A batch in each frame. The codes of a close from 4000 on are the server's own
 * words, with the numbers of HTTP. Others may be of anybody on the way; what the
 * server means by them, it says in a frame before.
 */
export const bySocket: Link = (env, url, hello, sink) => {
  const socket = new (env.globals['WebSocket'] as typeof WebSocket)(`${url.replace(/^http/, 'ws')}/websocket`);
  socket.onopen = () => socket.send(JSON.stringify(hello));
  socket.onmessage = ({ data }) => sink(readText(data));
  socket.onclose = ({ code }) => sink(code < 4000 ? failed() : failed(`close ${code}`, 0, code - 4000, true));
  return () => socket.close();
};

/** Where there is no other place than the address. */
const query = ({ clients: [{ id, key }], session, cursor, wait }: Hello) =>
  `client_id=${token(id, key)}&session=${session}&wait=${wait}${cursor ? `&cursor=${cursor}` : ''}`;

/** One poll by JSONP. */
export const byCall: Link = (env, url, hello, sink) =>
  jsonp(
    env,
    (name) => `${url}/longpoll?callback=${name}&${query(hello)}`,
    (value) => sink(read(value, value ? 200 : 0)),
  );

/** Signals that end a stream. */
const LAST = ['gone', 'superseded', 'drain'];
const EVENTS = ['message', 'tick', 'gap', 'channels', 'presence', 'skip', 'reset', ...LAST];

/**
 * A stream of events. Messages are told at once, each as a batch. But signals
 * have no position, so all of their batch is told with them, when its tick has
 * come: half of it would make holes where there are none.
 *
 * The browser would connect again by itself, but with an old cursor.
 */
export const bySource: Link = (env, url, hello, sink) => {
  const source = new (env.globals['EventSource'] as typeof EventSource)(`${url}/sse?${query(hello)}`);
  let signals: string[] = [];
  let messages: string[] = [];
  let cursor = '';

  function flush(): void {
    const text = `{"cursor":"${cursor}","signals":[${signals}],"messages":[${messages}]}`; // all is JSON already
    signals = [];
    messages = [];
    sink(readText(text));
  }

  function hear({ type, data, lastEventId }: MessageEvent<string>): void {
    const last = LAST.includes(type);
    if (last) {
      // What it interrupts comes again.
      signals = [];
      messages = [];
    }
    if (data) (type === 'message' ? messages : signals).push(data);
    cursor = last ? '' : lastEventId;
    if (!signals.length || last || type === 'tick') flush();
  }

  for (const name of EVENTS) source.addEventListener(name, hear as EventListener);
  source.onerror = () => {
    // Closed before anything came: there was an answer, and it was no stream. Another transport can read it.
    const why = source.readyState > 1 && !cursor ? 'answer' : undefined;
    source.close();
    sink(failed(why));
  };
  return () => source.close();
};

/** Each transport: what must exist for it, whether it is a stream, and its link. */
export const LINKS: { readonly [name in TransportName]: readonly [need: string, streams: boolean, link: Link] } = {
  websocket: ['WebSocket', true, bySocket],
  sse: ['EventSource', true, bySource],
  stream: ['TextDecoderStream', true, byStream],
  longpoll: ['AbortController', false, byPost],
  jsonp: ['document', false, byCall],
};
