/**
 * A connection of the modern form.
 *
 *     asking ──url, id, key──▶ opening ──batch──▶ open ──batch──▶ open …
 *       ▲                        ▲ │               │
 *       └───────time is up───────┤ └────failure────┤      close, and gone with a
 *                                └──── waiting ◀───┘      constant key ──▶ closed
 *
 * What is read is opened with a poll that the server answers at once. So it is
 * known soon that the connection stands, and where it begins.
 */

import { backoff, LONGEST } from './backoff';
import { has, isPosition, type News } from './batch';
import { ANY, createEmitter } from './emitter';
import type { Environment } from './environment';
import { guard } from './guard';
import { type Audience, createLedger, type Ledger } from './ledger';
import { byCall, byPost } from './links';
import { find } from './locate';
import { CAP, HOLD, LONGEST_HOLD, MARGIN, PATIENCE, TOO_SOON } from './times';
import { unique } from './transports';
import type { ChannelMessage, Connection, ConnectionState, ConnectOptions, Gap, Given, Presence } from './types';

/**
 * Every state knows how to leave it; `become` is the only way to another. What
 * is under way goes on where both have the same way out.
 */
interface State {
  readonly name:
    /** The page's functions are asked for url, id and key. */
    | 'asking'
    /** A link is under way, and nothing has come yet. */
    | 'opening'
    /** A link is under way, and the server knows us. */
    | 'open'
    /** The next attempt is due later. */
    | 'waiting'
    | 'closed';
  readonly leave: () => void;
  /** As the page sees it. */
  readonly seen: ConnectionState;
  /** Waiting because the server said so: nothing may hurry it. */
  readonly held: boolean;
}

const CONNECTING: ConnectionState = { name: 'connecting' };
const CONNECTED: ConnectionState = { name: 'connected' };

/** What a page may hear of beside messages. */
interface Events {
  readonly gap: Gap;
  readonly presence: Presence;
  readonly state: ConnectionState;
  readonly gone: string;
}

interface Credentials {
  readonly url: string;
  readonly id: string;
  readonly key: string;
}

export function createConnection(env: Environment, options: ConnectOptions): Connection {
  const { url, clientId, key, resume, jsonp } = options;
  let { session = unique(env) } = options;
  const wanted = Math.max(0, Math.min(Math.round(options.wait!), LONGEST_HOLD));
  const hold = isNaN(wanted) ? HOLD : wanted;
  const place = url === undefined ? find(env.scripts(), 'url') : { base: url, jsonp: false };
  const given = [place.base, clientId, key];
  const link = (jsonp === undefined ? place.jsonp : jsonp) || !env.canAbort() ? byCall : byPost;

  let state: State = { name: 'asking', leave() {}, seen: CONNECTING, held: false };
  let credentials: Credentials | undefined;
  let ledger: Ledger | undefined;
  /** Since the last answer that brought us further, or was held as it should be. */
  let failures = 0;

  const call = guard(env);
  const messages = createEmitter<ChannelMessage>();
  const events = createEmitter<Events[keyof Events]>();

  const listening = () => state.name !== 'closed';
  const tell = <Name extends keyof Events>(name: Name, value: Events[Name]) => events.emit(name, value);
  const audience: Audience = {
    gap: (gap) => listening() && tell('gap', gap),
    presence: (presence) => listening() && tell('presence', presence),
    message: (message) => messages.emit(message.channel, message) || messages.emit(ANY, message),
    listening,
  };

  /** Tells the page when it sees another state. What it does then may lead to yet another. */
  function become(name: State['name'], leave: () => void, seen: ConnectionState = CONNECTING, held = false): void {
    const before = state;
    if (leave !== before.leave) before.leave();
    state = { name, leave, seen, held };
    if (seen !== before.seen) tell('state', seen);
  }

  const attempt = () => (credentials ? read('opening') : ask());

  /** A function that throws, rejects, or never tells, is asked again. */
  function ask(): void {
    const leave = env.later(PATIENCE, () => pause('credentials'));
    become('asking', leave);
    const answers = async () => {
      const [url, id, key] = await Promise.all(given.map((value) => (isFunction(value) ? value() : value)));
      if (state.leave !== leave) return;
      if (typeof url !== 'string' || !id || !key) throw new Error('no url, id or key');
      const found = { url: url.replace(/\/+$/, ''), id: String(id), key: String(key) };
      ledger = ledger || recall(shelf(found));
      credentials = found;
      read('opening');
    };
    answers().catch((error) => {
      env.report(error);
      if (state.leave === leave) pause('credentials');
    });
  }

  function read(name: 'opening' | 'open'): void {
    const began = env.now();
    const wait = name === 'open' ? hold : 0;
    const timeout = env.later(wait + Math.min(CAP, MARGIN * 2 ** failures), () => pause('timeout'));
    let giveUp = () => {};
    const leave = () => {
      timeout();
      giveUp();
    };
    become(name, leave, name === 'open' ? CONNECTED : CONNECTING);
    if (state.leave !== leave) return; // the page has closed it
    giveUp = link(env, { ...credentials!, session, cursor: ledger!.cursor(), wait }, (news) => {
      // What was replaced is not listened to: it comes again by its successor.
      if (state.leave === leave) hear(news, name === 'open', env.now() - began);
    });
  }

  /** `news` is of the link under way, which took `ms` for it. `held`: the server was to hold it if it had none. */
  function hear(news: News, held: boolean, ms: number): void {
    if (news.kind === 'failed') {
      if (news.refused) credentials = undefined;
      return pause(news.why, news.retryMs);
    }
    const { batch } = news;
    if (has(batch, 'gone')) return refuse();
    const { leave } = state;
    become('open', leave, CONNECTED);
    if (state.leave !== leave) return; // a listener has closed it

    const further = ledger!.take(batch);
    const superseded = has(batch, 'superseded');
    const drain = has(batch, 'drain');
    // The page was copied, with all that is kept for it, and its copy came by our name.
    if (superseded) session = unique(env);
    keep();
    if (state.leave !== leave) return; // here too

    if (drain) return pause('drain', drain.retry_ms);
    if (superseded) {
      if (failures) return pause('superseded');
      failures = 1;
    } else if (held || further) {
      if (!further && ms < TOO_SOON) return pause('empty');
      failures = 0;
    }
    read('open');
  }

  /** The server does not know the client, or has another key for it. The position is still good for a new one. */
  function refuse(): void {
    const { id } = credentials!;
    credentials = undefined;
    if (isFunction(clientId) || isFunction(key)) pause('gone');
    else end('gone');
    // If nobody asked to be told, this is the only trace of why the page falls silent.
    if (!tell('gone', id)) env.report(`Shaveet: client ${id} is gone`);
  }

  /** Waits as one does after a failure: first as long as the server asks for, and then for a random time. */
  function pause(why: string, retryMs = 0): void {
    const online = env.online();
    const asked = Math.max(0, Math.min(retryMs, CAP)) || 0;
    const ms = asked + (online ? backoff(failures++, env.random) : LONGEST);
    const leave = env.later(ms, attempt);
    wait(env.now() + ms, online ? why : 'offline', leave, asked > 0);
  }

  function wait(until: number, why: string, leave: () => void, held = false): void {
    become('waiting', leave, { name: 'waiting', until, why }, held);
  }

  /** The network, or the page, is back: a link under way was begun before it went. */
  function hurry(): void {
    if (reading() || (state.name === 'waiting' && !state.held)) attempt();
  }

  /** The page is put away or ends. A link under way would not live through that, and may keep the page from coming back as it was. */
  function hide(): void {
    if (reading()) wait(Infinity, 'hidden', () => {});
  }

  function end(why: 'closed' | 'gone'): void {
    for (const stop of watching) stop();
    if (listening()) become('closed', () => {}, { name: 'closed', why });
  }

  const reading = () => state.name === 'opening' || state.name === 'open';
  const watching = [env.whenOnline(hurry), env.whenShown(hurry), env.whenHidden(hide)];

  // ---- what is kept over a reload

  const shelf = ({ url, id }: Credentials) => `shaveet ${typeof resume === 'string' ? resume : `${url} ${id}`}`;

  function keep(): void {
    if (!resume) return;
    try {
      env.keep(shelf(credentials!), JSON.stringify({ cursor: ledger!.cursor(), session, channels: ledger!.channels() }));
    } catch {
      // Forbidden or full. A page that is loaded again begins anew, or with something older.
    }
  }

  function recall(place: string): Ledger {
    const { cursor } = options;
    if (resume && !cursor) {
      try {
        const kept = JSON.parse(env.recall(place)!);
        if (isPosition(kept.cursor) && typeof kept.session === 'string' && /^[\w-]{1,64}$/.test(kept.session)) {
          if (!options.session) ({ session } = kept);
          return createLedger(audience, kept.cursor, kept.channels);
        }
      } catch {
        // Forbidden, or not there, or not ours.
      }
    }
    return createLedger(audience, cursor);
  }

  const hears =
    <Name extends keyof Events>(name: Name) =>
    (listener: (value: Events[Name]) => void) =>
      events.on(name, (value) => call(listener, value as Events[Name]));

  ask();
  return {
    get state() {
      return state.seen;
    },
    on: (channel, listener) => messages.on(channel, (message) => call(listener, message)),
    onGap: hears('gap'),
    onPresence: hears('presence'),
    onState: hears('state'),
    onGone: hears('gone'),
    close: () => end('closed'),
  };
}

const isFunction = <T>(value: Given<T>): value is () => T | PromiseLike<T> => typeof value === 'function';
