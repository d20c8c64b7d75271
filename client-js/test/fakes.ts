import type { Answer } from '../src/answer';
import type { Environment } from '../src/environment';
import type { Transport } from '../src/transports';

/** A clock that moves when told to. */
class Clock {
  now = 1_700_000_000_000;
  private timers = new Map<number, { at: number; task: () => void }>();
  private last = 0;

  later(ms: number, task: () => void): () => void {
    const id = ++this.last;
    this.timers.set(id, { at: this.now + ms, task });
    return () => void this.timers.delete(id);
  }

  /** Runs what is due within `ms`, in order. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      const [id, { at, task }] = next;
      this.timers.delete(id);
      this.now = Math.max(this.now, at);
      task();
    }
    this.now = end;
  }

  /** Time until each timer, shortest first. */
  get pending(): number[] {
    return [...this.timers.values()].map(({ at }) => at - this.now).sort((a, b) => a - b);
  }
}

interface Reply {
  status?: number;
  headers?: Record<string, string>;
}

/** A fetch under way, for a test to answer. */
export class Fetch {
  private settle!: { resolve: (response: Response) => void; reject: (error: Error) => void };
  readonly response: Promise<Response>;

  constructor(
    readonly url: string,
    readonly signal: AbortSignal,
    readonly body?: string,
  ) {
    this.response = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    signal.addEventListener('abort', () => this.settle.reject(new Error('aborted')));
  }

  async answer(text: string, { status = 200, headers = {} }: Reply = {}): Promise<void> {
    this.settle.resolve(new Response(text, { status, headers }));
    await settled();
  }

  private pieces: ReadableStreamDefaultController<Uint8Array> | undefined;

  /** The next bytes of an answer that comes in pieces. */
  async write(text: string | Uint8Array): Promise<void> {
    if (!this.pieces) {
      const body = new ReadableStream<Uint8Array>({ start: (pieces) => void (this.pieces = pieces) });
      this.signal.addEventListener('abort', () => this.cut());
      this.settle.resolve(new Response(body));
    }
    this.pieces!.enqueue(typeof text === 'string' ? new TextEncoder().encode(text) : text);
    await settled();
  }

  /** Whether there is such an answer. */
  get begun(): boolean {
    return this.pieces !== undefined;
  }

  /** Such an answer is over. */
  async end(): Promise<void> {
    this.pieces!.close();
    await settled();
  }

  /** Such an answer is cut. */
  async cut(): Promise<void> {
    this.pieces!.error(new TypeError('network'));
    await settled();
  }

  async fail(): Promise<void> {
    this.settle.reject(new TypeError('network'));
    await settled();
  }
}

/** A script tag under way. */
export class Script {
  onPage = true;
  constructor(
    readonly url: string,
    private readonly globals: Record<string, unknown>,
    private readonly ended: () => void,
  ) {}

  get callback(): string {
    return new URL(this.url).searchParams.get('callback') || '';
  }

  /** Runs `body` as the browser runs it: `NAME(…);` as a script. */
  run(body: string): void {
    new Function('window', `with (window) { ${body} }`)(this.globals);
    this.end();
  }

  /** An error event, or a script that did not call back. */
  end(): void {
    this.onPage = false;
    this.ended();
  }
}

/** A WebSocket or an EventSource, for a test to be the other side of. */
export class Wire {
  /** As both count: 0 connecting, 1 open, and more: closing or closed. */
  readyState = 0;
  readonly sent: string[] = [];
  onopen: (() => void) | undefined;
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onclose: ((event: { code: number }) => void) | undefined;
  onerror: (() => void) | undefined;
  private readonly listeners = new Map<string, (event: object) => void>();
  private lastEventId = '';

  constructor(
    readonly url: string,
    readonly kind: 'WebSocket' | 'EventSource',
  ) {}

  send(text: string): void {
    this.sent.push(text);
  }
  addEventListener(name: string, listener: (event: object) => void): void {
    this.listeners.set(name, listener);
  }
  close(): void {
    this.readyState = 2;
  }
  get closed(): boolean {
    return this.readyState > 1;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  /** A frame of a WebSocket. Also one that was closed may still say something. */
  frame(data: unknown): void {
    this.onmessage?.({ data });
  }
  /** The end of a WebSocket. */
  end(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
  /** An event of an EventSource. One that is closed is silent. */
  event(type: string, data = '', id?: string): void {
    if (this.closed) return;
    if (id !== undefined) this.lastEventId = id;
    this.listeners.get(type)?.({ type, data, lastEventId: this.lastEventId });
  }
  /** An error of an EventSource: the network, or an answer that is no stream. */
  error(refused = false): void {
    this.readyState = refused ? 2 : 0;
    this.onerror?.();
  }
}

/** Lets promises under way come to their end. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

declare function setImmediate(task: () => void): void;

/** A browser for a client under test. `random` is 1 (just not reached in life): waits are the longest possible. */
export class FakeBrowser implements Environment {
  readonly clock = new Clock();
  readonly fetches: Fetch[] = [];
  readonly tags: Script[] = [];
  readonly wires: Wire[] = [];
  /** All of these, in the order in which they came. */
  readonly requests: (Fetch | Script | Wire)[] = [];
  /** What exists here. Polls alone, if a test does not say `modern`. */
  readonly native: Record<string, unknown> = { AbortController, TextDecoderStream, document: {}, self: {} };
  readonly globals: Record<string, unknown> = Object.create(this.native);
  readonly reports: unknown[][] = [];
  sources = ['http://page/app.js', 'http://push:8082/static/shaveet.js'];
  isOnline = true;
  dice = 1;
  /** What is kept for the tab. It may be forbidden. */
  storage: Map<string, string> | undefined = new Map();
  /** What is kept for all tabs. */
  shared: Map<string, string> | undefined = new Map();
  private readonly listeners = { online: new Set<() => void>(), hidden: new Set<() => void>(), shown: new Set<() => void>() };

  later = (ms: number, task: () => void) => this.clock.later(ms, task);
  now = () => this.clock.now;
  random = () => this.dice;
  online = () => this.isOnline;
  whenOnline = (task: () => void) => this.when('online', task);
  whenHidden = (task: () => void) => this.when('hidden', task);
  whenShown = (task: () => void) => this.when('shown', task);
  keep = (key: string, value: unknown, forAll?: boolean) =>
    void (forAll ? this.shared : this.storage)?.set(key, JSON.stringify(value));
  recall = (key: string, forAll?: boolean) => {
    try {
      return Object(JSON.parse((forAll ? this.shared : this.storage)!.get(key)!));
    } catch {
      return {};
    }
  };
  report = (...what: unknown[]) => void this.reports.push(what);
  scripts = () => this.sources;

  fetch = (url: string, signal: AbortSignal, body?: string) => {
    const fetch = new Fetch(url, signal, body);
    this.fetches.push(fetch);
    this.requests.push(fetch);
    return fetch.response;
  };

  script = (url: string, ended: () => void) => {
    const tag = new Script(url, this.globals, ended);
    this.tags.push(tag);
    this.requests.push(tag);
    return () => void (tag.onPage = false);
  };

  /** Lets there be WebSocket and EventSource. */
  modern(): void {
    const { wires, requests } = this;
    for (const kind of ['WebSocket', 'EventSource'] as const) {
      this.native[kind] = function (url: string) {
        const wire = new Wire(url, kind);
        wires.push(wire);
        requests.push(wire);
        return wire;
      };
    }
  }

  comeOnline(): void {
    this.isOnline = true;
    this.happen('online');
  }

  /** Tells all that wait for it. */
  happen(what: 'online' | 'hidden' | 'shown'): void {
    for (const task of [...this.listeners[what]]) task();
  }

  /** How many wait for something to happen. */
  get waiting(): number {
    return Object.values(this.listeners).reduce((sum, tasks) => sum + tasks.size, 0);
  }

  private when(what: 'online' | 'hidden' | 'shown', task: () => void): () => void {
    this.listeners[what].add(task);
    return () => void this.listeners[what].delete(task);
  }

  /** The latest poll by fetch. */
  get poll(): Fetch {
    return last(this.fetches);
  }

  /** The latest WebSocket or EventSource. */
  get wire(): Wire {
    return last(this.wires);
  }

  /** The latest poll by script tag. */
  get tag(): Script {
    return last(this.tags);
  }
}

/** A transport whose polls wait in a list for the test to answer. */
export class FakeTransport {
  readonly polls: { url: URL; open: boolean; answer: (answer: Answer) => void }[] = [];

  readonly transport: Transport = (url, answer) => {
    const poll = { url: new URL(url), open: true, answer };
    this.polls.push(poll);
    return () => void (poll.open = false);
  };

  get poll() {
    return last(this.polls);
  }
}

export function last<T>(list: readonly T[]): T {
  const item = list[list.length - 1];
  if (item === undefined) throw new Error('nothing there');
  return item;
}
