/**
 * One of the tabs that share. Whoever holds the lock leads: its own connection
 * is the one of all. It posts what it hears, and the others tell it to their
 * pages.
 *
 * Every tab knows its own position, and that decides everything. A post says
 * from where to where it reaches. Whoever stands in between takes of it what is
 * new. Whoever stands before it, or nowhere yet, has a hole: it connects by
 * itself, from where it is, until what was posted meanwhile goes on from there.
 * So it does not matter who leads, how many believe they do, or what was lost
 * between two tabs; and a leader that says nothing any more, with the lock in
 * its hands, leaves the others not worse off than without sharing.
 */

import { after, isPosition } from './batch';
import { ANY, createEmitter } from './emitter';
import { find } from './locate';
import type { Connect, ShareOptions } from './tabs';
import type { Channel, Surroundings } from './tabs-environment';
import { ahead, following, type Item, lastOf, type Place, type Post, QUESTION, reached, same } from './tabs-post';
import { PATIENCE } from './times';
import type { ChannelMessage, Connection, ConnectionState, TransportName } from './types';

/** How long whoever leads may take to answer. */
const SOON = 2_000;
/** How often it is asked. */
const NOW_AND_THEN = 20_000;
/** How many posts somebody keeps who cannot make use of them yet. Those that fall off come by its own connection. */
const MOST = 20;

const CONNECTING: ConnectionState = { name: 'connecting' };

export function createMember(env: Surroundings, connect: Connect, options: ShareOptions): Connection {
  const { cursor, resume, session, share } = options;
  const given =
    share === undefined ? [options.url === undefined ? find(env.scripts(), 'url').base : options.url, options.clientId] : [];
  /** The name under which our own connection keeps its place. */
  const desk = `tab ${env.draw()}`;

  let name: string | undefined;
  let state = CONNECTING;
  /** Of the leader. */
  let transport: TransportName | undefined;
  /** Up to here the page has been told everything. */
  let place: Place | undefined = isPosition(cursor) ? { cursor } : undefined;
  /** Nothing came between this and our place, as long as we lead. */
  let since: string | undefined;
  let own: Connection | undefined;
  /** Whether it goes by the name that the page has for it, which only one can. */
  let named = false;
  /** What our own connection has just told. */
  let items: Item[] = [];
  /** Where it was before that. */
  let before: string | undefined;
  /** What could not be made use of yet. */
  let posts: Post[] = [];
  /** Whether we wait for the lock, or have it. */
  let queued = false;
  let leading = false;
  /** Whether whoever leads has not answered. */
  let silent = false;
  /** Whether the page is put away. */
  let away = false;
  let group: Channel | undefined;
  let leave = () => {};
  let timer = () => {};

  const messages = createEmitter<ChannelMessage>();
  const events = createEmitter<unknown>();
  const closed = () => state.name === 'closed';
  /** Whether the page wanted it so. */
  const left = () => state.name === 'closed' && state.why === 'closed';

  function become(next: ConnectionState): void {
    if (JSON.stringify(next) === JSON.stringify(state)) return;
    state = next;
    events.emit('state', next);
  }

  function wait(ms: number, task: () => void): void {
    timer();
    timer = env.later(ms, task);
  }

  // ---- to come and to go

  /** Finds out who we are, again and again if that fails. */
  function begin(): void {
    wait(PATIENCE, begin);
    const ask = async () => {
      const [url, id] = await Promise.all(given.map((value) => (typeof value === 'function' ? value() : value)));
      if (name !== undefined || closed()) return;
      if (share !== undefined) name = share;
      // As `connect` sees it. Those who do not know yet who they are have nothing to share.
      else if (typeof url !== 'string' || !id) throw new Error('no url or id');
      else name = `${url.replace(/\/+$/, '')} ${id}`;
      if (resume && !cursor) place = placeAt(shelf());
      if (!away) join();
    };
    ask().catch(env.report);
  }

  function join(): void {
    group = env.channel(`shaveet tabs 1 ${name}`, (value) => hear(value as Post | typeof QUESTION));
    look();
  }

  /** Asks who leads, and waits for its turn. If nobody answers, we go on by ourselves until somebody does. */
  function look(): void {
    if (!queued) compete();
    silent = true;
    group!.post(QUESTION);
    wait(SOON, () => {
      wait(NOW_AND_THEN, look);
      if (silent && !own) open();
    });
  }

  function compete(): void {
    queued = true;
    leave = env.lock(`shaveet ${name}`, lead, () => {
      // Forbidden, or taken away. Alone we hear everything as well.
      queued = leading = false;
      wait(NOW_AND_THEN, look);
      if (!own) open();
    });
  }

  function resign(): void {
    queued = leading = false;
    leave();
  }

  function part(): void {
    timer();
    stop();
    posts = [];
    resign();
    if (group) group.close();
    group = undefined;
  }

  function hide(): void {
    if (away) return;
    // We may have come further without a word.
    flush();
    if (closed()) return;
    away = true;
    part();
    become({ name: 'waiting', until: Infinity, why: 'hidden' });
  }

  function show(): void {
    if (!away) return;
    away = false;
    become(CONNECTING);
    if (closed()) return;
    if (name === undefined) begin();
    else join();
  }

  function end(why: 'closed' | 'gone'): void {
    for (const stop of watching) stop();
    part();
    if (!closed()) become({ name: 'closed', why });
  }

  // ---- our own connection

  /** This may be the end: a listener may close, and so do we if `connect` throws, for it would do so again. */
  function open(): void {
    keep(desk, place);
    before = place && place.cursor;
    named = leading;
    let mine: Connection;
    try {
      mine = connect({
        ...options,
        session: named ? session : undefined,
        resume: desk,
        cursor: placeAt(desk) ? undefined : place ? place.cursor : cursor,
      });
    } catch (error) {
      env.report(error);
      return end('closed');
    }
    own = mine;
    const note = (item: Item) => {
      if (own !== mine) return;
      // What comes together is told together, when the connection is through with it and has kept its place.
      if (items.push(item) === 1) env.soon(flush);
    };
    mine.on(ANY, (message) => note(['message', message]));
    mine.onGap((gap) => note(['gap', gap]));
    mine.onPresence((presence) => note(['presence', presence]));
    mine.onState((next) => note(['state', next]));
    mine.onGone((id) => note(['gone', id]));
    become(mine.state);
  }

  function stop(): void {
    const mine = own;
    own = undefined;
    items = [];
    if (mine) mine.close();
    keep(desk, undefined);
  }

  /** Passes on what our own connection has told. */
  function flush(): void {
    if (!own) return;
    const told = items;
    items = [];
    const next = following(place, told, stand(told));
    // A key that opens nothing is our affair: others may have a better one.
    if (leading && own.state.name !== 'closed') say(told, next);
    tell(told, next);
    if (!leading) settle();
    else if (told.some(([what, value]) => what === 'state' && value.name === 'waiting' && MINE.includes(value.why))) {
      // Let somebody else try. Our own attempts go on as they would alone.
      resign();
      look();
    }
  }

  /** Where our own connection is, now that it has told this. */
  function stand(told: readonly Item[]): Place | undefined {
    const to = placeAt(desk);
    const at = to && to.cursor;
    // It goes on with every message. What stands still could not be kept, and is none from now on.
    const stale = at === before && lastOf(told);
    if (stale) keep(desk, undefined);
    before = stale ? undefined : at;
    return stale ? undefined : to;
  }

  /** Tells the page what is new to it, which leads to `next`. */
  function tell(told: readonly Item[], next: Place | undefined): void {
    let at = place && place.cursor;
    for (const item of told) {
      const [what, value] = item;
      // Whoever ends because the client is gone is still told so.
      if (left() || (closed() && what !== 'gone')) {
        // For what the page has not heard it may come back.
        next = place && place.cursor === at ? place : at ? { cursor: at } : undefined;
        break;
      } else if (what === 'gone') {
        // If nobody asked to be told, this is the only trace of why the page falls silent.
        if (!events.emit(what, value)) env.report(`Shaveet: client ${value} is gone`);
      } else if (what === 'state') {
        if (value.name === 'closed') end(value.why);
        else become(value);
      } else if (what !== 'message') {
        // A hole behind us was told to us, or is none for us.
        if (what === 'presence') events.emit(what, value);
        // Whoever tells of one may have been behind us.
        else if (!reached(at, value.to)) events.emit(what, ahead(at, value.from) ? { ...value, from: at } : value);
      } else if (after(value.pos, at)) {
        at = value.pos;
        messages.emit(value.channel, value) || messages.emit(ANY, value);
      }
    }
    place = next;
    if (resume && place) keep(shelf(), place);
  }

  // ---- the others

  function lead(): void {
    leading = true;
    posts = [];
    since = place && place.cursor;
    if (session && !named) stop();
    if (!own) open();
    linger();
  }

  /** We may come further for long without a word. Whoever is killed then should not be far behind. */
  function linger(): void {
    flush();
    if (leading) wait(NOW_AND_THEN, linger);
  }

  function say(told: readonly Item[], to: Place | undefined): void {
    const { state, transport } = own!;
    const post: Post = { from: since, to, items: [...told, ['state', state]], transport };
    try {
      group!.post(post);
    } catch (error) {
      // It has what cannot be copied. Whoever needs it finds a hole, and connects.
      env.report(error);
    }
    if (!to) return;
    // The lower, the more there are who can go on from there. But only messages have a position.
    if (told.some(([what]) => what === 'gap' || what === 'presence') || !same(since, to.cursor)) since = to.cursor;
    else since = lastOf(told) || since;
  }

  function hear(post: Post | typeof QUESTION): void {
    if (leading) {
      if (!post) flush();
    } else if (post) {
      silent = false;
      ({ transport } = post);
      if (post.to) {
        posts = [...posts, post].slice(-MOST);
        if (own) flush();
        else settle();
      } else if (!own) {
        tell(post.items, place);
      }
    }
  }

  /** Goes on with what the leader says, if it goes on from where we are. */
  function settle(): void {
    let at = place && place.cursor;
    const fitting = posts.filter(({ from, to }) => {
      const { cursor } = to!;
      const behind = reached(at, cursor);
      if (!behind && !reached(at, from)) return false;
      if (!behind) at = cursor;
      return true;
    });
    const last = posts[posts.length - 1];
    if (!last) return;
    if (!fitting.includes(last)) {
      if (!own) open();
      return;
    }
    stop();
    for (const { items, to } of fitting) {
      // Who came and went behind us may have gone and come since.
      const old = ahead(place && place.cursor, to!.cursor);
      tell(old ? items.filter(([what]) => what !== 'presence') : items, following(place, items, to));
    }
    // The next leader may have spoken before we heard the last word of this one.
    at = place && place.cursor;
    posts = posts.filter(({ to }) => !reached(at, to!.cursor));
    if (posts.some(({ from }) => reached(at, from))) settle();
  }

  // ---- places

  const shelf = () => (typeof resume === 'string' ? resume : name!);

  function placeAt(shelf: string): Place | undefined {
    const { cursor, channels } = env.recall(`shaveet ${shelf}`);
    return isPosition(cursor) ? { cursor, channels } : undefined;
  }

  function keep(shelf: string, place: Place | undefined): void {
    env.keep(`shaveet ${shelf}`, place && { ...place, session: env.draw() });
  }

  // ---- what the page holds

  /** A listener that throws disturbs no other. */
  const guarded =
    <T>(listener: (value: T) => void) =>
    (value: unknown) => {
      try {
        listener(value as T);
      } catch (error) {
        env.report(error);
      }
    };
  const hears =
    <T>(what: string) =>
    (listener: (value: T) => void) =>
      events.on(what, guarded(listener));

  // Before there is a connection, which has its own way to be put away.
  const watching = [
    env.whenHidden(hide),
    env.whenShown(show),
    env.whenSeen(() => group && !leading && look()),
  ];
  begin();
  return {
    get state() {
      return state;
    },
    get transport() {
      return own ? own.transport : state.name === 'connected' ? transport : undefined;
    },
    on: (channel, listener) => messages.on(channel, guarded(listener)),
    onGap: hears('gap'),
    onPresence: hears('presence'),
    onState: hears('state'),
    onGone: hears('gone'),
    close: () => end('closed'),
  };
}

/** Why a tab is not connected, if it is for what that tab has, and not for the network or the server. */
const MINE = ['credentials', 'gone'];
