/** The ways to read the modern wire. */

import { type News, read, readText, silent } from './batch';
import type { Environment } from './environment';
import { jsonp, token } from './transports';

/** What to read. */
export interface Request {
  readonly url: string;
  readonly id: string;
  readonly key: string;
  readonly session: string;
  readonly cursor: string | undefined;
  /** How long the server may keep silent, in ms. */
  readonly wait: number;
}

/**
 * Begins to read, and returns the function that gives it up. `sink` is called
 * once, and never before that is returned; perhaps also if it was given up.
 */
export type Link = (env: Environment, request: Request, sink: (news: News) => void) => () => void;

/** One poll by CORS. The body is plain text, which needs no preflight; and the key is in no address. */
export const byPost: Link = (env, { url, id, key, session, cursor, wait }, sink) => {
  const abort = new AbortController();
  const body = JSON.stringify({ clients: [{ id, key }], session, cursor, wait });
  env
    .fetch(`${url}/longpoll`, abort.signal, body)
    .then(async (response) => readText(await response.text(), response.status, response.headers.get('Retry-After')))
    .catch(() => silent())
    .then(sink);
  return () => abort.abort();
};

/** One poll by JSONP. */
export const byCall: Link = (env, { url, id, key, session, cursor, wait }, sink) => {
  const query = `client_id=${token(id, key)}&session=${session}&wait=${wait}${cursor ? `&cursor=${cursor}` : ''}`;
  return jsonp(
    env,
    (name) => `${url}/longpoll?callback=${name}&${query}`,
    (value) => sink(value ? read(value, 200) : silent()),
  );
};
