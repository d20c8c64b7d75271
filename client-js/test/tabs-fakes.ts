/**
 * A browser with tabs, and a server to connect to, in which nothing happens but
 * what a test lets happen, in any order that could be in life: each queue of
 * tasks keeps its order, and nothing else does.
 */

import { createMember } from '../src/tabs-member';
import type { ShareOptions } from '../src/tabs';
import type { Channel, Surroundings } from '../src/tabs-environment';
import type { ChannelMessage, Connection, ConnectionState, ConnectOptions, Gap, Presence, TransportName } from '../src/types';

/** Numbers from 0 to 1 that are the same for the same seed. */
export function random(seed: number): () => number {
  let a = seed * 2_654_435_769;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const BEAT = 20_000;
export const KEY = 'top-secret-key';

type Task = () => void;
interface Timer {
  at: number;
  task: Task;
}

// ---- the server

interface Entry {
  readonly order: number;
  readonly epoch: number;
  readonly seq: number;
  readonly message?: ChannelMessage;
  readonly presence?: Presence;
  /** At which step it was said. */
  readonly said: number;
  /** At which step the server has forgotten it. */
  lost: number;
}

const position = (epoch: number, seq: number) => `${epoch.toString(16).padStart(16, '0')}.${seq}`;
const read = (pos: string) => {
  const [epoch = '', seq = ''] = pos.split('.');
  return { epoch: parseInt(epoch, 16), seq: Number(seq) };
};

/** One log for one client. Epochs are not in order, as in life. */
export class Server {
  readonly history: Entry[] = [];
  readonly connections = new Set<FakeConnection>();
  /** All connections that ever were, by their tab. */
  readonly opened: Tab[] = [];
  /** Whether it does not know the client, or not by this key. */
  refuses: (key: string) => boolean = () => false;
  down = false;
  epoch = 1_000;
  seq = 1;
  private ids = new Map<string, number>();
  private evicted = new Map<string, number>();
  private lives = [1_000];

  constructor(private readonly world: World) {}

  get top(): string {
    return position(this.epoch, this.seq);
  }

  /** Compares positions in the order of history. */
  order(pos: string): number {
    const { epoch, seq } = read(pos);
    return this.lives.indexOf(epoch) * 1e6 + seq;
  }

  publish(channel = 'c', data: unknown = null): ChannelMessage {
    const id = (this.ids.get(channel) ?? 0) + 1;
    this.ids.set(channel, id);
    const pos = position(this.epoch, ++this.seq);
    const message: ChannelMessage = { channel, id, pos, sender: 'x', data, time: 0 };
    this.add({ message });
    return message;
  }

  presence(more: Partial<Presence>): void {
    this.seq++;
    this.add({ presence: { channel: 'c', ...more } });
  }

  private add(what: Pick<Entry, 'message' | 'presence'>): void {
    const { epoch, seq } = this;
    this.history.push({ ...what, epoch, seq, order: this.order(this.top), said: this.world.steps, lost: Infinity });
  }

  /** Something for others. */
  traffic(): void {
    this.seq++;
  }

  /** Forgets the oldest messages of a channel, but the newest `rest`. */
  evict(channel: string, rest: number): void {
    const kept = this.history.filter(
      (entry) => entry.message?.channel === channel && entry.epoch === this.epoch && entry.lost === Infinity,
    );
    for (const entry of kept.slice(0, Math.max(0, kept.length - rest))) {
      entry.lost = this.world.steps;
      this.evicted.set(channel, entry.seq);
    }
  }

  /** Forgets what others have said in a channel until now. */
  evictTraffic(channel: string): void {
    this.evicted.set(channel, this.seq);
  }

  restart(): void {
    for (const entry of this.history) entry.lost = Math.min(entry.lost, this.world.steps);
    this.epoch = (this.epoch * 7_919) % 10_007;
    this.lives.push(this.epoch);
    this.seq = 1;
    this.ids.clear();
    this.evicted.clear();
  }

  /** What a reader at `cursor` is told, `most` messages of it. */
  batch(cursor: string | undefined, most: number) {
    const gaps: Gap[] = [];
    let from = 0;
    if (cursor === 'now') from = this.seq;
    else if (cursor !== undefined) {
      const at = read(cursor);
      if (at.epoch === this.epoch) from = at.seq;
      else gaps.push({ from: cursor, to: position(this.epoch, 1), reason: 'reset' });
      for (const [channel, to] of this.evicted) {
        if (to > from) gaps.push({ channel, from: cursor, to: position(this.epoch, to), reason: 'count' });
      }
    }
    const news = this.history.filter((entry) => entry.epoch === this.epoch && entry.seq > from);
    const all = news.filter((entry) => entry.message && entry.lost === Infinity);
    const messages = all.slice(0, most);
    const end = all.length > most ? messages[messages.length - 1]!.seq : this.seq;
    const presence = news.filter((entry) => entry.presence && entry.seq <= end).map((entry) => entry.presence!);
    return { cursor: position(this.epoch, end), gaps, presence, messages: messages.map((entry) => entry.message!) };
  }

  /** Whether there is anything for a reader. */
  hasNews(cursor: string | undefined): boolean {
    const { gaps, presence, messages } = this.batch(cursor, 1);
    return gaps.length + presence.length + messages.length > 0;
  }
}

// ---- connections

/** What `connect` returns, as tabs see it: what it tells, and what it keeps under the name given as `resume`. */
class FakeConnection implements Connection {
  state: ConnectionState = { name: 'connecting' };
  transport: TransportName | undefined;
  cursor: string | undefined;
  /** What it knows of the channels. */
  channels: unknown[] = [];
  /** What was kept where it began. */
  readonly started: Readonly<Record<string, unknown>>;
  private heard: Record<string, ((value: never) => void)[]> = {};
  private opened = false;
  private due = false;
  private stopBeat = () => {};

  constructor(
    readonly page: Page,
    readonly options: ConnectOptions,
  ) {
    this.world.server.connections.add(this);
    this.world.server.opened.push(page.tab);
    this.started = page.tab.stored(`shaveet ${options.resume}`) ?? {};
    this.cursor = options.cursor ?? (this.started['cursor'] as string | undefined);
  }

  private get world(): World {
    return this.page.tab.world;
  }

  on = (channel: string, listener: (message: ChannelMessage) => void) => this.hears(`on ${channel}`, listener);
  onGap = (listener: (gap: Gap) => void) => this.hears('gap', listener);
  onPresence = (listener: (presence: Presence) => void) => this.hears('presence', listener);
  onState = (listener: (state: ConnectionState) => void) => this.hears('state', listener);
  onGone = (listener: (id: string) => void) => this.hears('gone', listener);

  close(): void {
    this.stopBeat();
    this.world.server.connections.delete(this);
    this.become({ name: 'closed', why: 'closed' });
  }

  /** Whether anything can happen to it. */
  get ready(): boolean {
    const { server } = this.world;
    if (this.state.name === 'closed' || server.down) return false;
    return !this.opened || this.due || server.hasNews(this.cursor);
  }

  /** Takes what the server has for it: one batch, or some that come together. */
  step(batches: number, most: number): void {
    this.opened = true;
    this.due = false;
    this.stopBeat();
    const { key } = this.options;
    if (this.world.server.refuses(String(typeof key === 'function' ? key() : key))) return this.refuse();
    this.stopBeat = this.page.later(BEAT, () => (this.due = true));
    for (; batches > 0 && this.page.alive; batches--) {
      const batch = this.world.server.batch(this.cursor, most);
      this.transport = 'websocket';
      this.become({ name: 'connected' });
      for (const gap of batch.gaps) this.tell('gap', gap);
      for (const presence of batch.presence) this.tell('presence', presence);
      for (const message of batch.messages) this.tell('on *', message);
      this.cursor = batch.cursor;
      const { resume } = this.options;
      if (resume) this.page.tab.store(`shaveet ${resume}`, { cursor: this.cursor, session: 's', channels: this.channels });
    }
  }

  /** The way to the server is cut. It opens anew by itself. */
  drop(): void {
    this.opened = false;
    this.transport = undefined;
    this.become({ name: 'waiting', until: 0, why: 'network' });
  }

  private refuse(): void {
    if (typeof this.options.key === 'function') {
      this.opened = false;
      this.world.server.connections.delete(this);
      // It asks again after a while.
      this.stopBeat = this.page.later(1_000, () => this.world.server.connections.add(this));
      this.become({ name: 'waiting', until: 0, why: 'gone' });
    } else {
      this.close();
      this.state = { name: 'closed', why: 'gone' };
      this.tell('state', this.state);
    }
    this.tell('gone', String(this.options.clientId));
  }

  private become(state: ConnectionState): void {
    if (this.state.name === 'closed' || JSON.stringify(state) === JSON.stringify(this.state)) return;
    this.state = state;
    if (state.name !== 'closed') this.tell('state', state);
  }

  private hears(what: string, listener: (value: never) => void): () => void {
    (this.heard[what] ??= []).push(listener);
    return () => {};
  }

  private tell(what: string, value: unknown): void {
    for (const listener of this.heard[what] ?? []) listener(value as never);
  }
}

// ---- tabs

/** What a page was told, in order. */
export type Told =
  | { readonly what: 'message'; readonly value: ChannelMessage; readonly step: number }
  | { readonly what: 'gap'; readonly value: Gap; readonly step: number }
  | { readonly what: 'presence'; readonly value: Presence; readonly step: number }
  | { readonly what: 'state'; readonly value: ConnectionState; readonly step: number }
  | { readonly what: 'gone'; readonly value: string; readonly step: number };

/** One life of the script in a tab. */
export class Page implements Surroundings {
  alive = true;
  /** Where history was when it began. */
  readonly born: number;
  /** Whether it finds what a page before it has kept, and asks for that. */
  readonly goesOn: boolean;
  readonly timers: Timer[] = [];
  readonly reports: unknown[] = [];
  readonly micro: Task[] = [];
  /** Tasks by where they come from. */
  readonly queues = new Map<string, Task[]>();
  readonly told: Told[] = [];
  member!: Connection;
  /** Takes back what listens to it. */
  readonly undo: Task[] = [];
  private listeners = { hidden: new Set<Task>(), shown: new Set<Task>(), seen: new Set<Task>() };
  private channels = new Set<FakeChannel>();

  constructor(
    readonly tab: Tab,
    readonly options: ShareOptions,
  ) {
    const { server } = tab.world;
    this.born = server.order(server.top);
    this.goesOn = !!options.resume && !options.cursor && !!tab.stored(`shaveet ${options.share}`);
  }

  /** What is given to `share`. */
  connect = (options: ConnectOptions): Connection => new FakeConnection(this, options);

  /** Calls `share`. */
  async share(): Promise<void> {
    this.member = createMember(this, (options) => this.connect(options), this.options);
    const note = (what: Told['what']) => (value: unknown) =>
      void this.told.push({ what, value, step: this.tab.world.steps } as Told);
    this.undo.push(
      this.member.on('*', note('message')),
      this.member.onGap(note('gap')),
      this.member.onPresence(note('presence')),
      this.member.onState(note('state')),
      this.member.onGone(note('gone')),
    );
    await settled();
    this.drain();
  }

  drain(): void {
    for (let task; (task = this.micro.shift()); ) task();
  }

  later = (ms: number, task: Task) => {
    const timer = { at: this.tab.world.now + ms, task };
    this.timers.push(timer);
    return () => {
      const i = this.timers.indexOf(timer);
      if (i >= 0) this.timers.splice(i, 1);
    };
  };
  soon = (task: Task) => void this.micro.push(task);
  draw = () => `t${++this.tab.world.drawn}`;
  report = (...what: unknown[]) => void this.reports.push(...what);
  scripts = () => ['http://script/static/shaveet.js'];
  lock = (name: string, granted: Task, refused: Task) =>
    this.tab.world.request({ page: this, name, granted, refused, state: 'waiting' });
  channel = (name: string, hear: (value: unknown) => void): Channel => {
    const channel = new FakeChannel(this, name, hear);
    this.channels.add(channel);
    return channel;
  };
  keep = (key: string, value: unknown) => this.tab.store(key, value);
  recall = (key: string) => this.tab.stored(key) ?? {};
  whenHidden = (task: Task) => this.when('hidden', task);
  whenShown = (task: Task) => this.when('shown', task);
  whenSeen = (task: Task) => this.when('seen', task);

  /** How many wait for something to happen. */
  get waiting(): number {
    return Object.values(this.listeners).reduce((sum, tasks) => sum + tasks.size, 0);
  }

  happen(what: 'hidden' | 'shown' | 'seen'): void {
    for (const task of [...this.listeners[what]]) task();
    this.drain();
  }

  push(from: string, task: Task): void {
    const queue = this.queues.get(from) ?? [];
    this.queues.set(from, queue);
    queue.push(task);
  }

  /** The renderer is killed: nothing runs any more, and what it had just said may not be told to all. */
  kill(): void {
    const { world } = this.tab;
    this.alive = false;
    for (const connection of [...world.server.connections]) {
      if (connection.page === this) world.server.connections.delete(connection);
    }
    for (const channel of this.channels) channel.close();
    for (const page of world.pages) {
      const queue = page.queues.get(this.tab.name);
      if (queue && world.dice() < 0.5) queue.splice(Math.floor(world.dice() * (queue.length + 1)));
    }
    world.release((request) => request.page === this);
  }

  private when(what: 'hidden' | 'shown' | 'seen', task: Task): Task {
    this.listeners[what].add(task);
    return () => void this.listeners[what].delete(task);
  }
}

class FakeChannel implements Channel {
  closed = false;
  constructor(
    private readonly page: Page,
    private readonly name: string,
    private readonly hear: (value: unknown) => void,
  ) {
    page.tab.world.channels.add(this);
    page.tab.world.names.push(name);
  }

  post(value: unknown): void {
    if (this.closed) throw new Error('closed');
    const { world } = this.page.tab;
    const text = JSON.stringify(value);
    world.posts.push(text);
    for (const other of world.channels) {
      if (other === this || other.name !== this.name) continue;
      const copy = structuredClone(value);
      other.page.push(this.page.tab.name, () => other.closed || other.hear(copy));
    }
  }

  close(): void {
    this.closed = true;
    this.page.tab.world.channels.delete(this);
  }
}

export class Tab {
  page: Page | undefined;
  /** Nothing runs. */
  frozen = false;
  /** Put away, with its page knowing. */
  away = false;
  readonly pages: Page[] = [];
  readonly storage = new Map<string, string>();

  constructor(
    readonly world: World,
    readonly name: string,
  ) {}

  async load(options: Partial<ShareOptions> = {}): Promise<Page> {
    const page = new Page(this, { share: 'all', clientId: 'a', key: KEY, ...options });
    this.page = page;
    this.pages.push(page);
    this.frozen = this.away = false;
    await page.share();
    return page;
  }

  /** The page ends as pages do: it is told. */
  unload(): void {
    const { page } = this;
    if (!page) return;
    if (!this.frozen && !this.away) page.happen('hidden');
    page.kill();
    this.page = undefined;
  }

  crash(): void {
    this.page?.kill();
    this.page = undefined;
  }

  hide(): void {
    if (!this.page || this.frozen) return;
    this.page.happen('hidden');
    this.frozen = this.away = true;
  }

  show(): void {
    if (!this.page || !this.away) return;
    this.frozen = this.away = false;
    this.page.happen('shown');
  }

  store(key: string, value: unknown): void {
    if (value === undefined) this.storage.delete(key);
    else this.storage.set(key, JSON.stringify(value));
  }

  stored(key: string): Record<string, unknown> | undefined {
    const text = this.storage.get(key);
    return text === undefined ? undefined : JSON.parse(text);
  }
}

interface LockRequest {
  readonly page: Page;
  readonly name: string;
  readonly granted: Task;
  readonly refused: Task;
  state: 'waiting' | 'granted' | 'over';
  left?: boolean;
}

export class World {
  now = 0;
  steps = 0;
  drawn = 0;
  readonly server = new Server(this);
  readonly tabs: Tab[] = [];
  readonly channels = new Set<FakeChannel>();
  /** All that was ever posted. */
  readonly posts: string[] = [];
  /** Of channels and locks, in the order in which they were asked for. */
  readonly names: string[] = [];
  private requests: LockRequest[] = [];

  constructor(public dice: () => number = random(1)) {}

  get pages(): Page[] {
    return this.tabs.flatMap(({ page }) => page ?? []);
  }

  tab(): Tab {
    const tab = new Tab(this, `tab ${this.tabs.length}`);
    this.tabs.push(tab);
    return tab;
  }

  // ---- locks

  request(request: LockRequest): Task {
    this.requests.push(request);
    this.names.push(request.name);
    this.grant(request.name);
    return () => {
      request.left = true;
      this.release((other) => other === request);
    };
  }

  release(which: (request: LockRequest) => boolean): void {
    const over = this.requests.filter(which);
    for (const request of over) request.state = 'over';
    this.requests = this.requests.filter((request) => !over.includes(request));
    for (const { name } of over) this.grant(name);
  }

  /** Takes the lock away from who holds it. */
  steal(name: string): void {
    const holder = this.requests.find((request) => request.name === name && request.state === 'granted');
    if (!holder) return;
    this.release((request) => request === holder);
    holder.page.push('lock', () => holder.left || holder.refused());
  }

  private grant(name: string): void {
    const all = this.requests.filter((request) => request.name === name);
    const [first] = all;
    if (!first || all.some((request) => request.state === 'granted')) return;
    first.state = 'granted';
    first.page.push('lock', () => first.state === 'granted' && first.granted());
  }

  // ---- time

  /** What could happen next, but for timers. */
  ready(): { page: Page; run: Task }[] {
    const able = (page: Page) => page.alive && !page.tab.frozen;
    const tasks = this.pages.filter(able).flatMap((page) =>
      [...page.queues.values()].filter((queue) => queue.length).map((queue) => ({ page, run: () => queue.shift()!() })),
    );
    const links = [...this.server.connections]
      .filter((connection) => able(connection.page) && connection.ready)
      .map((connection) => ({
        page: connection.page,
        run: () => connection.step(this.dice() < 0.2 ? 2 : 1, 1 + Math.floor(this.dice() * 4)),
      }));
    return [...tasks, ...links];
  }

  run({ page, run }: { page: Page; run: Task }): void {
    this.steps++;
    run();
    if (page.alive) page.drain();
  }

  /** Lets something happen that may happen now. */
  step(): boolean {
    const ready = this.ready();
    const next = ready[Math.floor(this.dice() * ready.length)];
    if (next) this.run(next);
    return !!next;
  }

  /** Lets a timer go off: the next one of any tab, for those of others may be late. */
  tick(pages = this.pages.filter((page) => page.timers.length && !page.tab.frozen)): boolean {
    const page = pages[Math.floor(this.dice() * pages.length)];
    const [timer] = [...(page?.timers ?? [])].sort((a, b) => a.at - b.at);
    if (!page || !timer) return false;
    page.timers.splice(page.timers.indexOf(timer), 1);
    this.now = Math.max(this.now, timer.at);
    this.run({ page, run: timer.task });
    return true;
  }

  /** Lets everything happen that can happen without time going on. */
  settle(): void {
    for (let i = 0; this.step(); i++) if (i > 10_000) throw new Error('it never comes to rest');
  }

  /** Lets time go on, with all timers on time. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.settle();
      const due = this.pages
        .filter((page) => !page.tab.frozen)
        .flatMap((page) => page.timers.map((timer) => ({ page, timer })))
        .sort((a, b) => a.timer.at - b.timer.at)[0];
      if (!due || due.timer.at > end) break;
      due.page.timers.splice(due.page.timers.indexOf(due.timer), 1);
      this.now = Math.max(this.now, due.timer.at);
      this.run({ page: due.page, run: due.timer.task });
    }
    this.now = end;
  }
}

/** Lets promises come to their end. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await null;
}
