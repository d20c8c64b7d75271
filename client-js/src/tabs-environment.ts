/** All that tabs which share need of a browser, so that a test can be the browser. */
export interface Surroundings {
  /** Runs `task` after `ms`, or much later in a tab that nobody looks at; the result takes that back. */
  later(ms: number, task: () => void): () => void;
  /** Runs `task` before anything else happens, but after all that is happening now. */
  soon(task: () => void): void;
  /** A name that nobody else has drawn. */
  draw(): string;
  /** Tells the developer what went wrong. */
  report(...what: unknown[]): void;
  /** Addresses of the script tags of the page, in order. */
  scripts(): string[];

  /**
   * Waits for the lock and holds it, until the result is called. `granted` is
   * called once it is ours; `refused` if it cannot be, or is not any more.
   * Neither after the result was called.
   */
  lock(name: string, granted: () => void, refused: () => void): () => void;
  /** Joins those who speak under this name. Nobody hears himself. */
  channel(name: string, hear: (value: unknown) => void): Channel;

  /** Keeps a value (as JSON) for this tab, also when its page is loaded again; `undefined` takes it away. Does nothing where that is forbidden or full. */
  keep(key: string, value: unknown): void;
  /** What is kept, or an empty object. */
  recall(key: string): Readonly<Record<string, unknown>>;

  /** Calls `task` when the page is left, be it for good, to be put away, or to be frozen; the result takes that back, as it does below. */
  whenHidden(task: () => void): () => void;
  /** Calls `task` when the page is back as it was. */
  whenShown(task: () => void): () => void;
  /** Calls `task` when somebody looks at the tab again. */
  whenSeen(task: () => void): () => void;
}

export interface Channel {
  post(value: unknown): void;
  close(): void;
}

/** Whether there is all it takes. Where it is forbidden, looking at it throws. */
export function canShare(): boolean {
  try {
    return !!(document && navigator.locks && BroadcastChannel && sessionStorage);
  } catch {
    return false;
  }
}

/** The real ones. */
export function browser(): Surroundings {
  return {
    later(ms, task) {
      const timer = setTimeout(task, ms);
      return () => clearTimeout(timer);
    },
    soon: (task) => void Promise.resolve().then(task),
    draw: () => `t${Math.random().toString(36).slice(2)}`,
    report: (...what) => console.error(...what),
    scripts: () => Array.from(document.scripts, (script) => script.src),
    lock,
    channel(name, hear) {
      const channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => hear(data);
      return { post: (value) => channel.postMessage(value), close: () => channel.close() };
    },
    keep(key, value) {
      try {
        if (value === undefined) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, JSON.stringify(value));
      } catch {
        // See above.
      }
    },
    recall(key) {
      try {
        return Object(JSON.parse(sessionStorage.getItem(key)!));
      } catch {
        return {};
      }
    },
    whenHidden: both('pagehide', 'freeze'),
    whenShown: both('pageshow', 'resume'),
    whenSeen: (task) => listen(document, 'visibilitychange', () => document.visibilityState === 'visible' && task()),
  };
}

function lock(name: string, granted: () => void, refused: () => void): () => void {
  const abort = new AbortController();
  const { signal } = abort;
  const held = () => {
    if (signal.aborted) return;
    granted();
    return new Promise((release) => signal.addEventListener('abort', release));
  };
  navigator.locks.request(name, { signal }, held).catch(() => signal.aborted || refused());
  return () => abort.abort();
}

/** For an event of the window or one of the document, whichever comes. */
const both =
  (ofWindow: string, ofDocument: string): Surroundings['whenHidden'] =>
  (task) => {
    const stops = [listen(window, ofWindow, task), listen(document, ofDocument, task)];
    return () => stops.forEach((stop) => stop());
  };

function listen(target: EventTarget, name: string, task: () => void): () => void {
  target.addEventListener(name, task);
  return () => target.removeEventListener(name, task);
}
