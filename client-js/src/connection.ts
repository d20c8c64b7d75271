/**
 * A connection of the modern form.
 *
 *     asking ──url, id, key──▶ opening ──batch──▶ open ──batch──▶ open …
 *       ▲                      ▲ │  ▲ another      │
 *       └──────time is up──────┤ │  │ transport    │
 *                              │ └──┴───failure────┤      close, and gone with a
 *                              └───── waiting ◀────┘      constant key ──▶ closed
 *
 * A stream begins with a batch, and what is polled is opened with a poll that
 * the server answers at once. So it is known soon that the connection stands,
 * and where it begins. By which transport is the chooser's choice.
 */

import { backoff, LONGEST } from './backoff';
import { type Failure, failed, has, isPosition, type News } from './batch';
import { type Chooser, createChooser } from './chooser';
import { ANY, createEmitter } from './emitter';
import type { Environment } from './environment';
import { guard } from './guard';
import { type Audience, createLedger, type Ledger } from './ledger';
import { type Hello, LINKS } from './links';
import { find } from './locate';
import { CAP, HOLD, LONGEST_HOLD, MARGIN, PATIENCE, TOO_SOON, TRIAL } from './times';
import { unique } from './transports';
import type { ChannelMessage, Connection, ConnectionState, ConnectOptions, Gap, Given, Presence, TransportName } from './types';

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

const ALL = Object.keys(LINKS) as TransportName[];
/** For programs of Node, which a socket keeps alive whose other side does not answer its close. */
const NODE = [...new Set<TransportName>(['stream', ...ALL])];
const JSONP: readonly TransportName[] = ['jsonp'];

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
  readonly clients: Hello['clients'];
}

export function createConnection(env: Environment, options: ConnectOptions): Connection {
  const { url, clientId, key, resume, jsonp } = options;
  let { session = unique(env) } = options;
  const wanted = Math.max(0, Math.min(Math.round(options.wait!), LONGEST_HOLD));
  const hold = isNaN(wanted) ? HOLD : wanted;
  const place = url === undefined ? find(env.scripts(), 'url') : { base: url, jsonp: false };
  const given = [place.base, clientId, key];
  const flag = jsonp === undefined && !options.transports ? place.jsonp : jsonp;
  const names = (flag ? JSONP : options.transports || (env.globals['self'] ? ALL : NODE)).filter(
    (name) => LINKS[name] && env.globals[LINKS[name][0]] && (name !== 'jsonp' || jsonp !== false),
  );
  if (!names.length) throw new Error('none of the transports exists here');

  let state: State = { name: 'asking', leave() {}, seen: CONNECTING, held: false };
  let credentials: Credentials | undefined;
  /** Whether the credentials were refused, and must be asked for again. */
  let stale = false;
  let ledger: Ledger | undefined;
  let chooser: Chooser | undefined;
  /** Since the last answer that brought us further, or was held as it should be. */
  let failures = 0;
  /** How long somebody in this round wants us to wait, in ms. */
  let asked = 0;

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

  const attempt = () => (credentials && !stale ? begin() : ask());

  function begin(): void {
    asked = 0;
    chooser!.restart();
    read('opening');
  }

  /** A function that throws, rejects, or never tells, is asked again. */
  function ask(): void {
    const leave = env.later(PATIENCE, () => pause('credentials'));
    become('asking', leave);
    if (state.leave !== leave) return; // the page has closed it
    const answers = async () => {
      const [url, id, key] = await Promise.all(given.map((value) => (isFunction(value) ? value() : value)));
      if (state.leave !== leave) return;
      if (typeof url !== 'string' || !id || !key) throw new Error('no url, id or key');
      const client = { id: String(id), key: String(key) };
      const found: Credentials = { url: url.replace(/\/+$/, ''), id: client.id, clients: [client] };
      ledger = ledger || recall(shelf(found));
      // What works for those who may use less is not for all.
      chooser = chooser || createChooser(env, names, hold, `shaveet ${found.url} ${names}`);
      credentials = found;
      stale = false;
      begin();
    };
    answers().catch((error) => {
      env.report(error);
      if (state.leave === leave) pause('credentials');
    });
  }

  function read(name: 'opening' | 'open'): void {
    const [, streams, link] = LINKS[chooser!.current()];
    const began = env.now();
    /** Whether what comes next has been waited for. */
    let held = !streams && name === 'open';
    let timeout = () => {};
    let giveUp = () => {};
    const allow = (silence: number, margin: number) => {
      timeout();
      timeout = env.later(silence + margin * 2 ** Math.min(failures, 2), () => fail(failed('timeout'), false));
    };
    const leave = () => {
      timeout();
      giveUp();
    };
    const { url, clients } = credentials!;
    const hello = { clients, session, cursor: ledger!.cursor(), wait: held || streams ? hold : 0 };
    allow(held ? hold : 0, streams ? TRIAL : MARGIN);
    become(name, leave, name === 'open' ? CONNECTED : CONNECTING);
    if (state.leave !== leave) return; // the page has closed it
    try {
      giveUp = link(env, url, hello, (news) => {
        // What was replaced is not listened to: it comes again by its successor.
        if (state.leave !== leave) return;
        allow(hold, MARGIN);
        hear(news, held, streams, env.now() - began);
        held = true;
      });
    } catch {
      // A policy forbids it: of the page, or of the browser.
      fail(failed());
    }
  }

  /**
   * `news` is of the link under way, which began `ms` ago. `held`: the server
   * was to hold it if it had none. Unlike a poll, what `streams` proves nothing
   * by what it brings at once: it could be cut and opened again without rest.
   */
  function hear(news: News, held: boolean, streams: boolean, ms: number): void {
    if ('why' in news) return fail(news);
    if (has(news, 'gone')) return refuse();
    const { leave } = state;
    asked = 0;
    chooser!.heard(state.name === 'opening');
    become('open', leave, CONNECTED);
    if (state.leave !== leave) return; // a listener has closed it

    const further = ledger!.take(news);
    const superseded = has(news, 'superseded');
    const drain = has(news, 'drain');
    // The page was copied, with all that is kept for it, and its copy came by our name.
    if (superseded) session = unique(env);
    keep();
    if (state.leave !== leave) return; // here too

    if (drain) return pause('drain', drain.retry_ms);
    if (superseded) {
      if (failures) return pause('superseded');
      failures = 1;
    } else if (held || further) {
      if (ms >= TOO_SOON || (further && !streams)) failures = 0;
      else if (!streams) return pause('empty');
    }
    if (superseded || !streams) read('open');
  }

  /** No more comes by the link under way: another transport may do, or a wait. `broken`: it has worked until now. */
  function fail({ why, retryMs, refused, said }: Failure, broken = state.name === 'open'): void {
    const strange = why === 'answer';
    if (refused) stale = true;
    asked = Math.max(asked, retryMs);
    // What the server itself says it would say again; and without a network none would do.
    if (!said && env.online() && chooser!.failed(broken, refused || strange)) return read('opening');
    // Perhaps the address is wrong, or the transport cannot tell that the client is gone.
    if (strange) stale = true;
    pause(why, asked);
  }

  /** The server does not know the client, or has another key for it. The position is still good for a new one. */
  function refuse(): void {
    const { id } = credentials!;
    stale = true;
    if (isFunction(clientId) || isFunction(key)) pause('gone');
    else end('gone');
    // If nobody asked to be told, this is the only trace of why the page falls silent.
    if (!tell('gone', id)) env.report(`Shaveet: client ${id} is gone`);
  }

  /** Waits as one does after a failure: first as long as the server asks for, and then for a random time. */
  function pause(why: string, retryMs = 0): void {
    const online = env.online();
    const told = Math.max(0, Math.min(retryMs, CAP)) || 0;
    const ms = told + (online ? backoff(failures++, env.random) : LONGEST);
    const leave = env.later(ms, attempt);
    wait(env.now() + ms, online ? why : 'offline', leave, told > 0);
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
    if (resume) env.keep(shelf(credentials!), { cursor: ledger!.cursor(), session, channels: ledger!.channels() });
  }

  function recall(place: string): Ledger {
    const { cursor } = options;
    const kept = resume && !cursor ? env.recall(place) : {};
    const { cursor: position, session: name, channels } = kept;
    if (!isPosition(position) || typeof name !== 'string' || !/^[\w-]{1,64}$/.test(name)) return createLedger(audience, cursor);
    if (!options.session) session = name;
    return createLedger(audience, position, channels);
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
    get transport() {
      return state.name === 'open' ? chooser!.current() : undefined;
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
