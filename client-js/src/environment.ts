/**
 * All the client needs of a browser, in one place, so that a test can be the
 * browser. Nothing is touched before it is used, and much of it may not be
 * there: in a program of Node there is no page, no storage and no news of the
 * network.
 */
export interface Environment {
  /** Runs `task` after `ms`; the result takes that back. */
  later(ms: number, task: () => void): () => void;
  /** Unix milliseconds. */
  now(): number;
  /** From 0 to 1, without 1. */
  random(): number;
  /** False if the browser knows that it has no network. */
  online(): boolean;
  /** Calls `task` whenever the network comes back; the result takes that back, as it does below. */
  whenOnline(task: () => void): () => void;
  /** Calls `task` when the page is left, be it for good or to be put away as it is. */
  whenHidden(task: () => void): () => void;
  /** Calls `task` when the page is back as it was. */
  whenShown(task: () => void): () => void;
  /** Tells the developer what went wrong in a listener. */
  report(...what: unknown[]): void;

  /** By POST if there is a body. */
  fetch(url: string, signal: AbortSignal, body?: string): Promise<Response>;

  /**
   * Keeps a value (as JSON) for this tab, also when its page is loaded again; or
   * for all tabs. Where that is forbidden or full it does nothing.
   */
  keep(key: string, value: unknown, forAll?: boolean): void;
  /** What is kept, or an empty object. It may be anybody's. */
  recall(key: string, forAll?: boolean): Readonly<Record<string, unknown>>;

  /** Addresses of the script tags of the page, in order. */
  scripts(): string[];
  /**
   * Loads a script into the page and calls `ended` once: when it has run, or
   * when it is clear that it will not. The result takes the tag away, which
   * does not stop a script under way: browsers run what they have begun.
   *
   * The script waits for the page to have loaded, because the page's load event
   * would else wait for the script: for all the time a poll is held.
   */
  script(url: string, ended: () => void): () => void;
  /** Where there is what may not be there, and where a script called by name finds its function. */
  readonly globals: Record<string, unknown>;
}

/** The real one. */
export function browser(): Environment {
  // Only while a script runs does the page say which one it is; by the time
  // init is called a loader may have taken the tag out again.
  const page = typeof document === 'object';
  const self = page && (document.currentScript as HTMLScriptElement | null);
  // Node has storage that warns whoever looks at it.
  const storage = (forAll?: boolean) => (page && (forAll ? localStorage : sessionStorage)) as Storage;

  return {
    later(ms, task) {
      const timer = setTimeout(task, ms);
      return () => clearTimeout(timer);
    },
    now: () => Date.now(),
    random: () => Math.random(),
    online: () => !page || navigator.onLine !== false,
    whenOnline: (task) => listen('online', task),
    whenHidden: (task) => listen('pagehide', task),
    whenShown: (task) => listen('pageshow', (event) => (event as PageTransitionEvent).persisted && task()),
    report: (...what) => console.error(...what),

    // A body that is a string is text/plain to the browser, which needs no preflight.
    fetch: (url, signal, body) => fetch(url, body ? { signal, body, method: 'POST' } : { signal }),

    keep(key, value, forAll) {
      try {
        storage(forAll).setItem(key, JSON.stringify(value));
      } catch {
        // A page that is loaded again begins anew, or with something older.
      }
    },
    recall(key, forAll) {
      try {
        return Object(JSON.parse(storage(forAll).getItem(key)!));
      } catch {
        return {};
      }
    },

    scripts() {
      if (!page) return [];
      const sources = Array.from(document.scripts, (script) => script.src);
      return self ? [...sources, self.src] : sources;
    },
    script(url, ended) {
      const tag = document.createElement('script');
      tag.onload = tag.onerror = () => {
        tag.remove();
        ended();
      };
      tag.src = url;
      let begun = false;
      const begin = () => {
        begun = true;
        document.head.appendChild(tag);
      };
      if (document.readyState === 'complete') begin();
      else addEventListener('load', begin);
      return () => {
        removeEventListener('load', begin);
        tag.remove();
        if (!begun) setTimeout(ended);
      };
    },
    globals: (page ? window : globalThis) as unknown as Record<string, unknown>,
  };
}

function listen(name: string, task: (event: Event) => void): () => void {
  if (typeof addEventListener !== 'function') return () => {};
  addEventListener(name, task);
  return () => removeEventListener(name, task);
}
