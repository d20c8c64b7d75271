/** What tabs that share say to each other, and how positions are compared for it. */

import { after } from './batch';
import type { ChannelMessage, ConnectionState, Gap, Presence, TransportName } from './types';

/** A place in what the server tells, and what connections know there of the channels. It goes through sessionStorage in their own form. */
export interface Place {
  readonly cursor: string;
  readonly channels?: unknown;
}

/** Something that a connection tells. */
export type Item =
  | readonly ['message', ChannelMessage]
  | readonly ['gap', Gap]
  | readonly ['presence', Presence]
  | readonly ['state', ConnectionState]
  | readonly ['gone', string];

/** What the leader says. Tabs may be of different releases: whoever changes this changes the name of the channel. */
export interface Post {
  /** All that came after this is in `items`. If it is undefined, not even the leader knows where it began. */
  readonly from: string | undefined;
  /** Where that leads; undefined if the leader has not heard the server yet. */
  readonly to: Place | undefined;
  /** The last one is the leader's state. */
  readonly items: readonly Item[];
  readonly transport: TransportName | undefined;
}

/** Asks the leader for a post. */
export const QUESTION = null;

/** Whether two positions are of one life of the log. */
export const same = (a: string | undefined, b: string | undefined): boolean => !!a && !!b && a.slice(0, 16) === b.slice(0, 16);

/** Whether whoever is at `a` has come to `b`, or further. */
export const reached = (a: string | undefined, b: string | undefined): boolean => same(a, b) && !after(b, a);

/** Whether whoever is at `a` has gone beyond `b`. */
export const ahead = (a: string | undefined, b: string | undefined): boolean => same(a, b) && after(a, b);

/** The position of the last message. */
export function lastOf(items: readonly Item[]): string | undefined {
  let last: string | undefined;
  for (const [what, value] of items) if (what === 'message') last = value.pos;
  return last;
}

/** Where all of `told` leads from `place`, if its teller says that it is `to`. */
export function following(place: Place | undefined, told: readonly Item[], to: Place | undefined): Place | undefined {
  const at = place && place.cursor;
  const last = lastOf(told);
  // A place that is behind could not be kept, or comes from somebody who is behind.
  if (after(last, at) && (!to || ahead(last, to.cursor))) return { cursor: last };
  return to && !ahead(at, to.cursor) ? to : place;
}
