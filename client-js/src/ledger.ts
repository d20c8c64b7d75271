/**
 * Knows how far we are: the position in the log, and the last number of each
 * channel. It drops what has come before, and finds what is missing.
 */

import { isObject } from './answer';
import { after, type Batch, isPosition, type Membership } from './batch';
import type { ChannelMessage, Gap, Presence } from './types';

/** What is known of a channel. It is not changed but replaced, so that a batch can be undone. */
interface Known {
  /** Where our part of it begins. */
  readonly since?: string | undefined;
  /** The highest number that has come. Without it the next is taken as it is. */
  readonly id?: number | undefined;
  /** Up to where a hole has been told. */
  readonly told?: string | undefined;
  /** Up to where numbers may be missing, and before the first message after it. */
  readonly unsure?: string | undefined;
}

/** Gets what is new, in the order in which a page should hear it. */
export interface Audience {
  gap(gap: Gap): unknown;
  presence(presence: Presence): unknown;
  message(message: ChannelMessage): unknown;
  /** False if the audience has left: it hears no more of the signals then, and no message is told. */
  listening(): boolean;
}

export interface Ledger {
  /** What to ask the server with. */
  cursor(): string | undefined;
  /** Works through a batch, and reports whether that has brought us any further. */
  take(batch: Batch): boolean;
  /** What `createLedger` takes to go on here, when it has been JSON meanwhile. */
  channels(): unknown;
}

/** `channels` is what another ledger gave. Whatever else is in it, or instead of it, counts as nothing. */
export function createLedger(audience: Audience, cursor?: string, channels?: unknown): Ledger {
  let known = new Map<string, Known>(Array.isArray(channels) ? channels.filter(isKept) : []);

  function take(batch: Batch): boolean {
    const before = { cursor, known };
    known = new Map(known);
    /** Where we were: nowhere on a first visit. */
    let from = isPosition(cursor) ? cursor : undefined;
    /** The same as in `Known`, for channels that are new: whoever was nowhere is not told of all that is lost. */
    let unsure = from ? undefined : batch.cursor;
    const hole = (reason: string, to: string | undefined, channel: string | undefined, after = from) =>
      audience.gap({ channel, from: after, to, reason });
    /** What has come by this batch. */
    const numbers = new Map<string, number[]>();
    /** The same of signals alone, to look up. */
    const noted = new Set<string>();

    const channel = (name: string): Known => known.get(name) || { unsure };
    const learn = (name: string, more: Known) => known.set(name, { ...channel(name), ...more });
    /** Moves a position of a channel on, and reports whether that is any further. */
    const raise = (name: string, what: 'told' | 'unsure', to: string | undefined) =>
      after(to, channel(name)[what]) && learn(name, { [what]: to });

    function came(name: string, id: number): unknown {
      const ids = numbers.get(name) || [];
      numbers.set(name, ids);
      return ids.push(id);
    }

    /** Keeps a number that a signal names, and reports whether it is new. */
    function note(name: string, id: number): unknown {
      const key = `${id} ${name}`;
      return id > (channel(name).id || 0) && !noted.has(key) && noted.add(key) && came(name, id);
    }

    /** Learns which channels there are for us: these, and no others. */
    function join(memberships: unknown): void {
      const old = known;
      known = new Map();
      for (const [name, membership] of Object.entries(Object(memberships))) {
        const { since, id } = Object(membership) as Membership;
        if (!isPosition(since)) continue;
        const of = old.get(name);
        const newer = !of || after(since, of.since || from);
        if (of && newer) hole('rejoin', since, name);
        // What begins where we are, or later, comes from its first number on.
        known.set(name, newer ? { since, unsure, id: after(from, since) ? undefined : id } : { ...of, since });
      }
    }

    for (const signal of batch.signals) {
      switch (signal.type) {
        case 'reset': {
          const { cursor: to } = signal;
          if (!isPosition(to)) break;
          const lost = known.size ? [...known.keys()] : [undefined];
          known = new Map();
          for (const name of lost) hole('reset', to, name);
          cursor = from = to;
          unsure = batch.cursor;
          break;
        }
        case 'channels':
          join(signal.channels);
          break;
        case 'gap':
          raise(signal.channel, 'unsure', signal.to);
          // The server tells it again as long as we have not come past it.
          if (raise(signal.channel, 'told', signal.to)) hole(signal.reason, signal.to, signal.channel, signal.from);
          break;
        case 'skip':
          note(signal.channel, signal.id);
          break;
        case 'presence':
          // The lost ones had numbers.
          if (signal.resync) raise(signal.channel, 'unsure', signal.to);
          if (!signal.id || note(signal.channel, signal.id)) audience.presence(signal);
      }
    }

    let at = from;
    const messages = batch.messages.filter(({ channel: name, id, pos, volatile }) => {
      if (!after(pos, at)) return false;
      at = pos;
      // It has no number of its own.
      if (volatile) return true;
      const { unsure: end } = channel(name);
      if (end && after(pos, end)) {
        // From here on no number may be missing.
        learn(name, { unsure: undefined, id: id - 1 });
        numbers.set(name, (numbers.get(name) || []).filter((other) => other > id));
      }
      return came(name, id);
    });

    for (const [name, ids] of numbers) {
      const { id: last, unsure } = channel(name);
      ids.sort((a, b) => a - b);
      if (!unsure && last !== undefined && ids.some((id, i) => id !== last + 1 + i)) {
        hole('ids', batch.cursor, name);
      }
      learn(name, { id: ids[ids.length - 1] });
    }

    // Whoever leaves at a signal has not heard the others: they are told again.
    if (!audience.listening()) {
      ({ cursor, known } = before);
      return false;
    }
    for (const message of messages) {
      if (!audience.listening()) {
        // What has not been heard comes again, with numbers that have been counted.
        for (const name of numbers.keys()) raise(name, 'unsure', batch.cursor);
        return true;
      }
      cursor = message.pos;
      audience.message(message);
    }
    if (after(batch.cursor, cursor)) ({ cursor } = batch);
    return cursor !== before.cursor && batch.signals.length + messages.length > 0;
  }

  return { cursor: () => cursor, take, channels: () => [...known] };
}

/** Whether this is a channel as a ledger gave it. */
const isKept = (pair: unknown): pair is [string, Known] =>
  Array.isArray(pair) &&
  typeof pair[0] === 'string' &&
  isObject(pair[1]) &&
  Object.entries(pair[1]).every(([member, value]) => typeof value === (member === 'id' ? 'number' : 'string'));
