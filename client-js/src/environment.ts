/**
 * All the client needs of a browser, in one place, so that a test can be the
 * browser. Nothing is touched before it is used: importing the module on a
 * server (for rendering, say) does no harm.
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
  /** Whether a fetch can be aborted here. */
  canAbort(): boolean;

  /** What is kept for this tab, also when its page is loaded again. May throw. */
  recall(key: string): string | null;
  keep(key: string, text: string): void;

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
  /** Where a script called by name finds its function. */
  readonly globals: Record<string, unknown>;
}

/** The real one. */
export function browser(): Environment {
  // Only while a script runs does the page say which one it is; by the time
  // init is called a loader may have taken the tag out again.
  const self = typeof document === 'object' && (document.currentScript as HTMLScriptElement | null);

  return {
    later(ms, task) {
      const timer = setTimeout(task, ms);
      return () => clearTimeout(timer);
    },
    now: () => Date.now(),
    random: () => Math.random(),
    online: () => navigator.onLine !== false,
    whenOnline: (task) => listen('online', task),
    whenHidden: (task) => listen('pagehide', task),
    whenShown: (task) => listen('pageshow', (event) => (event as PageTransitionEvent).persisted && task()),
    report: (...what) => console.error(...what),

    // A body that is a string is text/plain to the browser, which needs no preflight.
    fetch: (url, signal, body) => fetch(url, body ? { signal, body, method: 'POST' } : { signal }),
    canAbort: () => typeof AbortController === 'function' && typeof fetch === 'function',

    recall: (key) => sessionStorage.getItem(key),
    keep: (key, text) => sessionStorage.setItem(key, text),

    scripts() {
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
    get globals() {
      return window as unknown as Record<string, unknown>;
    },
  };
}

function listen(name: string, task: (event: Event) => void): () => void {
  addEventListener(name, task);
  return () => removeEventListener(name, task);
}
