/**
 * The ways to ask. A transport begins one poll and returns the function that
 * gives it up; it calls `sink` at most once, and never before it has returned.
 *
 * The server counts an answer as read when it has left. So an answer that
 * comes after its poll was given up still goes to the sink, if it comes at all.
 */

import { type Answer, read, readText } from './answer';
import type { Environment } from './environment';

/** `url` has `callback=?` for the transport to fill in. */
export type Transport = (url: string, sink: (answer: Answer) => void) => () => void;

/**
 * Polls by CORS: a simple request, so without a preflight: nothing that would
 * need one, like a header of our own, may be added. Giving up closes it.
 */
export const byFetch = (env: Environment): Transport => (url, sink) => cors(env, named(url, 'noop'), readText, sink);

/** Polls by JSONP. */
export const byScript = (env: Environment): Transport => (url, sink) =>
  jsonp(env, (name) => `${named(url, name)}&jsonp=1`, (value) => sink(read(value)));

/**
 * One fetch, by POST if there is a body. `understand` gets its text; or, if it
 * `streams`, each line that has come whole, and at the end nothing with status 0,
 * as if there was no answer or not all of it. So is a line that does not end.
 */
export function cors<T>(
  env: Environment,
  url: string,
  understand: (text: string, status: number, retryAfter: string | null) => T,
  sink: (answer: T) => void,
  body?: string,
  streams?: boolean,
): () => void {
  const abort = new AbortController();
  const run = async () => {
    const response = await env.fetch(url, abort.signal, body);
    const { status } = response;
    const retryAfter = response.headers.get('Retry-After');
    const understood = (text: string) => sink(understand(text, status, retryAfter));
    if (!streams || status !== 200) return understood(await response.text());
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let begun = ''; ; ) {
      const { value, done } = await reader.read();
      if (done) throw done;
      const lines = (begun + value).split('\n');
      begun = lines.pop()!;
      lines.forEach(understood);
      if (begun.length > LONGEST_LINE) throw begun.length;
    }
  };
  run().catch(() => sink(understand('', 0, null)));
  return () => abort.abort();
}

/** In UTF-16 units: many times what a batch has, if the server is not told otherwise. */
const LONGEST_LINE = 2 ** 23;

let names = 0;

/** A name that nobody else on the page has, nor a copy of the page. */
export const unique = (env: Environment) => `shaveet_${env.random().toString(36).slice(2)}_${++names}`;

/**
 * Loads a script that calls a function of the page, and hands on what it is
 * called with, or undefined. A script under way cannot be stopped, so the
 * function stays until the script has run or failed, and goes then in any case.
 */
export function jsonp(env: Environment, url: (name: string) => string, ended: (value: unknown) => void): () => void {
  const name = unique(env);
  let answer: unknown;
  const giveUp = env.script(url(name), () => {
    delete env.globals[name];
    ended(answer);
  });
  // Not before: a page's policy may throw, and nobody would take it away.
  env.globals[name] = (value: unknown) => {
    answer = value;
  };
  return giveUp;
}

/** A client and its key, as an address has them. */
export const token = (id: string, key: string) => `${encodeURIComponent(id)}_!!_${encodeURIComponent(key)}`;

const named = (url: string, callback: string) => url.replace('callback=?', `callback=${callback}`);
