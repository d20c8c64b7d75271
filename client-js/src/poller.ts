/**
 * The poll loop. There is one per page, whatever the number of clients.
 *
 *     idle ──add──▶ waiting ──time is up──▶ polling ──news──▶ polling …
 *                      ▲                       │
 *                      └──────failure, gone────┘      no client left ──▶ idle
 */

import type { Answer, News } from './answer';
import { backoff, LONGEST } from './backoff';
import type { Environment } from './environment';
import { DEAD, GATHER, LONGEST_TIMER, TOO_SOON } from './times';
import { token, type Transport } from './transports';

/** Every state knows how to leave it; `become` is the only way to another. */
type State =
  /** Nobody to poll for. */
  | { readonly name: 'idle'; readonly leave: () => void }
  /** The next poll is due later. `held`: because the server said so, and nothing may hurry it. */
  | { readonly name: 'waiting'; readonly held: boolean; readonly leave: () => void }
  /** A poll is under way. */
  | { readonly name: 'polling'; readonly leave: () => void };

const IDLE: State = { name: 'idle', leave() {} };

export interface Poller {
  /** Polls for a client too, from now on. */
  add(id: string, key: string): void;
  stop(): void;
}

export interface PollerOptions {
  readonly env: Environment;
  /** The server's address. Asked for at every poll, as is the transport. */
  readonly base: () => string;
  readonly transport: () => Transport;
  /** Gets what came, before the next poll. */
  readonly onNews: (news: News) => void;
  /** Gets a client that the server refused, when it is no longer polled for. */
  readonly onGone: (id: string) => void;
}

export function createPoller({ env, base, transport, onNews, onGone }: PollerOptions): Poller {
  let state = IDLE;
  /** Client id → its token on the wire. `stop` makes a new one, so that what is still under way can tell. */
  let clients = new Map<string, string>();
  /** Since the last good answer: polls that failed, and answers that refused a client. */
  let failures = 0;
  let refusals = 0;
  let watching = false;

  function become(next: State): void {
    state.leave();
    state = next;
  }

  function wait(ms: number, held = false): void {
    become({ name: 'waiting', held, leave: env.later(Math.min(ms, LONGEST_TIMER), poll) });
  }

  /**
   * Waits as one does after a failure. A wait that the server asks for comes
   * first, and the random one after it: it asks many pages at the same time.
   *
   * Without a network a poll each LONGEST is enough, since the browser tells
   * when it is back. Not none at all, since a browser without a network still
   * reaches a server on its own machine.
   */
  function retry(retryMs = 0): void {
    const delay = env.online() ? backoff(failures++, env.random) : LONGEST;
    wait(Math.max(0, retryMs) + delay, retryMs > 0);
  }

  function poll(): void {
    const began = env.now();
    const served = clients;
    let giveUp = () => {};
    const timeout = env.later(DEAD, retry);
    const mine: State = {
      name: 'polling',
      leave() {
        timeout();
        giveUp();
      },
    };
    become(mine);
    giveUp = transport()(url(began), (answer) => {
      // An answer that comes late still holds messages that come only once.
      if (answer.kind === 'news' && answer.news.size && clients === served) onNews(answer.news);
      // Late otherwise, or a listener has just called init or stop.
      if (state === mine) next(answer, began);
    });
  }

  function next(answer: Answer, began: number): void {
    if (answer.kind === 'gone') return drop(answer.clients);
    if (answer.kind === 'failed') return retry(answer.retryMs);
    if (!answer.news.size && env.now() - began < TOO_SOON) return retry();
    failures = refusals = 0;
    poll();
  }

  /**
   * The server is up, but the pace is that after a failure: a page may answer
   * onGone with the same init and be refused for ever, and after a restart of
   * the server all pages are here together.
   */
  function drop(refused: readonly unknown[]): void {
    const gone = [...clients.keys()].filter((id) => refused.includes(id));
    for (const id of gone) clients.delete(id);
    refusals++;
    if (clients.size) wait(afterRefusal());
    else become(IDLE);
    gone.forEach(onGone);
  }

  const afterRefusal = () => (refusals ? backoff(refusals - 1, env.random) : GATHER);

  function url(now: number): string {
    const ids = [...clients.values()].join('&client_id=');
    // v=2 asks for errors that can be read; pages of the old form need theirs unreadable.
    return `${base()}/message_updates?callback=?&client_id=${ids}&ts=${now}&v=2`;
  }

  /** The network is back: a poll under way was begun on the one that went. */
  function hurry(): void {
    if (state.name === 'polling' || (state.name === 'waiting' && !state.held)) wait(GATHER);
  }

  return {
    add(id, key) {
      clients.set(id, token(id, key));
      if (!watching) {
        watching = true;
        env.whenOnline(hurry);
      }
      if (state.name === 'polling') wait(GATHER);
      if (state.name === 'idle') wait(afterRefusal());
    },
    stop() {
      clients = new Map();
      failures = refusals = 0;
      become(IDLE);
    },
  };
}
