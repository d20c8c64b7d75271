/**
 * Makes sense of what the server said on the modern wire. Everything here is
 * data from outside: what would do harm is checked where it is used, and passed
 * over.
 */

import { isObject } from './answer';
import type { ChannelMessage, Gap, Presence } from './types';

/** What comes in one piece. A signal has the members of its type, and perhaps others. */
export interface Batch {
  readonly cursor: string | undefined;
  readonly signals: readonly Signal[];
  readonly messages: readonly ChannelMessage[];
}

export type Signal =
  | ({ readonly type: 'gap'; readonly channel: string; readonly to: string } & Gap)
  | { readonly type: 'channels'; readonly channels: Readonly<Record<string, Membership>> }
  | ({ readonly type: 'presence'; readonly id?: number } & Presence)
  | { readonly type: 'skip'; readonly channel: string; readonly id: number }
  | { readonly type: 'reset'; readonly cursor: string }
  | { readonly type: 'gone' }
  | { readonly type: 'superseded' }
  | { readonly type: 'drain'; readonly retry_ms: number };

export interface Membership {
  /** Everything after it is for us. */
  readonly since: string;
  /** The channel's last id then. */
  readonly id: number;
}

/** What a link has to say, see `Link`. */
export type News = Batch | Failure;

/** There is no batch, or no other. */
export interface Failure {
  readonly why: string;
  readonly retryMs: number;
  /** The same request will not do. */
  readonly refused: boolean;
  /** These are the server's own words: the way to it is good. A wait may also be asked for by somebody in between. */
  readonly said: boolean;
}

export const failed = (why = 'network', retryMs = 0, status = 0, said = false): Failure => ({
  why,
  retryMs,
  refused: status > 399 && status < 429,
  said,
});

/** Understands what came as text. Status 0: nothing came, or not all of it. */
export function readText(text: string, status = 200, retryAfter?: string | null): News {
  const retryMs = Number(retryAfter) * 1_000 || 0;
  try {
    return read(JSON.parse(text), status, retryMs);
  } catch {
    // Not ours: a proxy's error page, a login page, a text cut short.
    return read(0, status, retryMs);
  }
}

/** The same for a value. */
export function read(value: unknown, status: number, retryMs = 0): News {
  if (isObject(value)) {
    const { error, cursor, signals, messages } = value;
    // Others have errors too, of another shape.
    if (isObject(error) && typeof error['type'] === 'string') {
      return failed(error['type'], Number(error['retry_ms']) || retryMs, Number(error['code']), true);
    }
    if (Array.isArray(signals) && Array.isArray(messages)) {
      const batch = {
        cursor: isPosition(cursor) ? cursor : undefined,
        signals: signals.filter(isObject) as unknown as Signal[],
        messages: messages.filter(isMessage),
      };
      // Somebody else's 404 is not ours.
      if (status === 200 || has(batch, 'gone')) return batch;
    }
  }
  return failed(status === 200 ? 'answer' : status ? `HTTP ${status}` : undefined, retryMs, status);
}

/** The signal of this type, if it is there. */
export const has = <T extends Signal['type']>(batch: Batch, type: T): Extract<Signal, { readonly type: T }> | undefined =>
  batch.signals.find((signal): signal is Extract<Signal, { readonly type: T }> => signal.type === type);

/** `<epoch: 16 hex digits>.<seq: decimal>` */
export const isPosition = (value: unknown): value is string =>
  typeof value === 'string' && /^[\da-f]{16}\.\d+$/.test(value);

/** Whether position `a` comes after `b`. Another life of the log comes after everything, and everything after none; no `a` comes after nothing. */
export function after(a: string | undefined, b: string | undefined): a is string {
  if (!isPosition(a)) return false;
  if (!b || a.slice(0, 16) !== b.slice(0, 16)) return true;
  // A seq may be larger than a number can tell; it has no leading zeros.
  return a.length === b.length ? a > b : a.length > b.length;
}

const isMessage = (value: unknown): value is ChannelMessage => isObject(value) && isPosition(value['pos']);
