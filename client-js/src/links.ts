/** The ways to read the modern wire. */

import { type News, read, readText } from './batch';
import type { Environment } from './environment';
import { cors, jsonp, token } from './transports';

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
export const byPost: Link = (env, { url, id, key, session, cursor, wait }, sink) =>
  cors(env, `${url}/longpoll`, readText, sink, JSON.stringify({ clients: [{ id, key }], session, cursor, wait }));

/** One poll by JSONP. */
export const byCall: Link = (env, { url, id, key, session, cursor, wait }, sink) => {
  const query = `client_id=${token(id, key)}&session=${session}&wait=${wait}${cursor ? `&cursor=${cursor}` : ''}`;
  return jsonp(
    env,
    (name) => `${url}/longpoll?callback=${name}&${query}`,
    (value) => sink(read(value, value ? 200 : 0)),
  );
};
