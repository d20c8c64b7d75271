/**
 * Knows how far we are: the position in the log, and the last number of each
 * channel. It drops what has come before, and finds what is missing.
 */

import { after, type Batch, isPosition, type Membership } from './batch';
import type { ChannelMessage, Gap, Presence } from './types';

/** What is known of a channel. */
interface Known {
  /** Where our part of it begins. */
  since?: string;
  /** The last number that has come. Without it the next is taken as it is. */
  id?: number;
  /** Up to where a hole has been told. */
  told?: string;
}

/** Gets what is new, in the order in which a page should hear it. */
export interface Audience {
  gap(gap: Gap): unknown;
  presence(presence: Presence): unknown;
  message(message: ChannelMessage): unknown;
  /** False if the audience has left; no message is told then. */
  listening(): boolean;
}

export interface Ledger {
  /** What to ask the server with. */
  cursor(): string | undefined;
  /** Works through a batch, and reports whether that has brought us any further. */
  take(batch: Batch): boolean;
  /** What `createLedger` takes to go on here. */
  channels(): unknown;
}

/** `channels` is what another ledger gave, or anything else, which counts as nothing. */
export function createLedger(audience: Audience, cursor?: string, channels?: unknown): Ledger {
  let known = new Map<string, Known>(Array.isArray(channels) ? channels : []);

  function channel(name: string): Known {
    const found = known.get(name) || {};
    known.set(name, found);
    return found;
  }

  function take(batch: Batch): boolean {
    const before = cursor;
    /** Where we were: nowhere, or `now`, on a first visit, which is owed no numbers. */
    let from = cursor;
    const hole = (reason: string, to: string | undefined, channel: string | undefined, after = from) =>
      audience.gap({ channel, from: after, to, reason });
    const numbers = new Map<string, number[]>();
    const came = (name: string, id: number) => numbers.set(name, [...(numbers.get(name) || []), id]);
    /** Channels with a hole that was told: it may reach beyond the last number that has come. */
    const open = new Set<string>();

    function lose(name: string): Known {
      const of = channel(name);
      delete of.id;
      open.add(name);
      return of;
    }

    /** Keeps a number that a signal names, and reports whether it is new. */
    function note(name: string, id: number): unknown {
      return id > (channel(name).id || 0) && !(numbers.get(name) || []).includes(id) && came(name, id);
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
        if (of && newer && from) hole('rejoin', since, name);
        // What begins where we are, or later, comes from its first number on.
        known.set(name, newer ? (from && !after(from, since) ? { since, id } : { since }) : { ...of, since });
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
          break;
        }
        case 'channels':
          join(signal.channels);
          break;
        case 'gap': {
          const { channel: name, to, reason } = signal;
          const of = lose(name);
          // The server tells it again as long as we have not come past it.
          if (!isPosition(to) || !after(to, of.told)) break;
          of.told = to;
          hole(reason, to, name, signal.from);
          break;
        }
        case 'skip':
          note(signal.channel, signal.id);
          break;
        case 'presence':
          // The lost ones had numbers.
          if (signal.resync) lose(signal.channel);
          if (!signal.id || note(signal.channel, signal.id)) audience.presence(signal);
      }
    }

    let at = from;
    const messages = batch.messages.filter(({ channel: name, id, pos }) => {
      if (!after(pos, at)) return false;
      at = pos;
      return came(name, id);
    });

    for (const [name, ids] of numbers) {
      const of = channel(name);
      const { id: last } = of;
      ids.sort((a, b) => a - b);
      if (last !== undefined && ids.some((id, i) => id !== last + 1 + i)) {
        hole('ids', batch.cursor, name);
      }
      // Whoever leaves in the middle comes back to any number.
      delete of.id;
    }

    for (const message of messages) {
      if (!audience.listening()) return true;
      cursor = message.pos;
      audience.message(message);
    }
    // On a first visit nothing is told of what the server keeps no more.
    for (const [name, ids] of numbers) if (from && !open.has(name)) channel(name).id = ids[ids.length - 1]!;
    if (batch.cursor && after(batch.cursor, cursor)) ({ cursor } = batch);
    return cursor !== before && batch.signals.length + messages.length > 0;
  }

  return { cursor: () => cursor, take, channels: () => [...known] };
}
