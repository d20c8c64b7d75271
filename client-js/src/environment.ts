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
  /** Calls `task` whenever the network comes back. */
  whenOnline(task: () => void): void;
  /** Tells the developer what went wrong in a listener. */
  report(...what: unknown[]): void;

  fetch(url: string, signal: AbortSignal): Promise<Response>;
  /** Whether a fetch can be aborted here. */
  canAbort(): boolean;

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
    whenOnline: (task) => addEventListener('online', task),
    report: (...what) => console.error(...what),

    fetch: (url, signal) => fetch(url, { signal }),
    canAbort: () => typeof AbortController === 'function',

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
