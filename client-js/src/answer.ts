/**
 * Makes sense of what the server said. Everything here is data from outside:
 * the shape is checked, and nothing is ever evaluated.
 */

import type { Message } from './types';

/** News by channel, in the order of the answer. Channels without news are absent. */
export type News = ReadonlyMap<string, readonly Message[]>;

export type Answer =
  | { readonly kind: 'news'; readonly news: News }
  /** The server refuses these clients. */
  | { readonly kind: 'gone'; readonly clients: readonly unknown[] }
  /** No answer, or none to be used; `retryMs` is how long the server wants to be left alone. */
  | { readonly kind: 'failed'; readonly retryMs: number };

export const failed = (retryMs = 0): Answer => ({ kind: 'failed', retryMs });

/** Understands the text of an answer, `NAME({…});` with or without a comment in front, as fetch gets it. */
export function readText(text: string, status: number, retryAfter: string | null): Answer {
  // A proxy in between speaks in seconds, and not in our words.
  const atLeast = Number(retryAfter) * 1_000 || 0;
  try {
    const [, json = ''] = /^(?:\/\*\*\/)?[\w$.[\]]+\(([^]*)\);?\s*$/.exec(text) || [];
    const answer = read(JSON.parse(json));
    if (answer.kind === 'failed') return failed(Math.max(answer.retryMs, atLeast));
    if (status < 300 || answer.kind === 'gone') return answer;
  } catch {
    // Not ours: a proxy's error page, a login page, a text cut short.
  }
  return failed(atLeast);
}

/** Understands the value of an answer, as JSONP gets it. */
export function read(value: unknown): Answer {
  if (!isObject(value)) return failed();
  // A channel called "error" has an array here.
  const error = value['error'];
  if (isObject(error)) return readError(error);

  const channels = Object.entries(value);
  // JSON.parse makes a channel of the name __proto__ a member like any other;
  // the same text run as a script makes it the prototype.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(prototype)) channels.push(['__proto__', prototype]);

  const news = new Map<string, Message[]>();
  for (const [channel, rows] of channels) {
    const messages = (Array.isArray(rows) ? rows : []).filter(isRow).map((row) => message(channel, row));
    if (messages.length) news.set(channel, messages);
  }
  return { kind: 'news', news };
}

function readError(error: Record<string, unknown>): Answer {
  if (error['type'] === 'gone' && Array.isArray(error['clients'])) return { kind: 'gone', clients: error['clients'] };
  return failed(Number(error['retry_ms']) || 0);
}

type Row = readonly [id: number, text: string, client: string];

function isRow(row: unknown): row is Row {
  return Array.isArray(row) && typeof row[1] === 'string';
}

function message(channelName: string, [id, payload_raw, client_id]: Row): Message {
  let payload: unknown = null;
  try {
    payload = JSON.parse(payload_raw);
  } catch {
    // Plain text is allowed: payload stays null.
  }
  return { id, client_id, payload, payload_raw, channelName };
}

/** Arrays are none. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
