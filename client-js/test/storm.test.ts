/**
 * A connection in all the weather there is: a server that keeps the rules, a
 * network that breaks them, and dice that decide. Whatever happens, each
 * message is heard once and in order, or is in a hole that was announced.
 */

import { describe, expect, test } from 'vitest';
import { createConnection } from '../src/connection';
import type { ChannelMessage, Connection, Gap, TransportName } from '../src/types';
import { ALL, Attempt, attempts, type Batch } from './attempt';
import { FakeBrowser, Script, settled, Wire } from './fakes';

/** Numbers from 0 to 1 that are the same for the same seed. */
function dice(seed: number): () => number {
  let a = seed * 2_654_435_761;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Entry {
  readonly seq: number;
  readonly id: number;
  readonly kind: 'message' | 'presence' | 'skip';
}

/** The log of one channel, and what a reader at a position is told of it. */
class Log {
  lives = 0;
  entries: Entry[] = [];
  evicted = 0;
  /** Positions of all messages, in order. */
  readonly said: string[] = [];

  pos = (seq: number, life = this.lives) => `${(life + 10).toString(16).padStart(16, '0')}.${seq}`;

  get top(): number {
    return this.entries.length;
  }

  append(kind: Entry['kind']): void {
    const seq = this.top + 1;
    this.entries.push({ seq, id: seq, kind });
    if (kind === 'message') this.said.push(this.pos(seq));
  }

  restart(): void {
    this.lives++;
    this.entries = [];
    this.evicted = 0;
  }

  /** What a reader at `cursor` is told, up to `cap` messages. */
  batch(cursor: string | undefined, cap: number): Batch {
    const signals: (Batch['signals'][number] & object)[] = [];
    const known = cursor?.startsWith(this.pos(0).slice(0, 17)) && Number(cursor.slice(17)) <= this.top;
    let at = known ? Number(cursor!.slice(17)) : 0;
    if (cursor && !known) signals.push({ type: 'reset', cursor: this.pos(0) });
    if (!known) signals.push({ type: 'channels', channels: { c: { since: this.pos(0), id: 0 } } } as never);
    if (cursor && at < this.evicted) {
      signals.push({ type: 'gap', channel: 'c', from: this.pos(at), to: this.pos(this.evicted), reason: 'count' } as never);
    }
    at = Math.max(at, this.evicted);
    const messages: ChannelMessage[] = [];
    while (at < this.top && messages.length < cap) {
      const { seq, id, kind } = this.entries[at++]!;
      if (kind === 'presence') signals.push({ type: 'presence', channel: 'c', joined: 'x', id } as never);
      if (kind === 'skip') signals.push({ type: 'skip', channel: 'c', id } as never);
      if (kind === 'message') messages.push({ channel: 'c', id, pos: this.pos(seq), sender: 'x', data: null, time: 0 });
    }
    return { cursor: this.pos(at), signals, messages };
  }
}

type Weather = 'fine' | 'refused' | 'silent' | 'mute';

class Storm {
  env = new FakeBrowser();
  readonly log = new Log();
  readonly heard: string[] = [];
  readonly gaps: Gap[] = [];
  connection!: Connection;
  attempts: Attempt[] = [];
  /** How the network treats each transport. */
  weather = new Map<TransportName, Weather>();

  constructor(readonly random: () => number) {
    this.env.random = random;
    this.env.modern();
    this.load();
  }

  chance = (p: number) => this.random() < p;
  pick = <T>(list: readonly T[]): T => list[Math.floor(this.random() * list.length)]!;

  load(): void {
    this.connection = createConnection(this.env, { url: 'http://push', clientId: 'a', key: () => 'k', resume: true });
    this.connection.on('c', (message) => this.heard.push(message.pos));
    this.connection.onGap((gap) => this.gaps.push(gap));
    this.connection.onGone(() => {});
  }

  /** The page is loaded again: what was under way is gone with it. */
  reload(): void {
    const { storage, shared, clock } = this.env;
    this.connection.close();
    this.env = new FakeBrowser();
    Object.assign(this.env, { storage, shared, random: this.random });
    this.env.clock.now = clock.now;
    this.env.modern();
    this.attempts = [];
    this.load();
  }

  /** Those that the page still listens to. */
  live(): Attempt[] {
    return this.attempts.filter((attempt) => !attempt.ended && !attempt.givenUp);
  }

  /** Deals with new requests, by the weather. */
  async serve(): Promise<void> {
    for (;;) {
      await settled();
      const fresh = attempts(this.env).slice(this.attempts.length);
      if (!fresh.length) return;
      for (const attempt of fresh) {
        this.attempts.push(attempt);
        if (attempt.givenUp) continue;
        const weather = this.weather.get(attempt.name) || 'fine';
        if (weather === 'refused') await attempt.cut();
        if (weather === 'fine' || weather === 'mute') await this.begin(attempt, weather === 'mute');
      }
      expect(this.live().length, 'one link at a time').toBeLessThanOrEqual(1);
    }
  }

  private async begin(attempt: Attempt, mute: boolean): Promise<void> {
    const { cursor, wait } = attempt.hello();
    attempt.cursor = cursor;
    if (attempt.streams || wait === 0) await this.send(attempt);
    attempt.begun = true;
    if (mute) attempt.ended = true;
  }

  async send(attempt: Attempt, part = 1, more: Batch['signals'] = []): Promise<void> {
    const batch = this.log.batch(attempt.cursor, 1 + Math.floor(this.random() * 5));
    if (more.length) batch.signals.push(...more);
    if (part === 1) attempt.cursor = batch.cursor;
    attempt.begun = true;
    await attempt.send(batch, part);
  }

  /** One thing happens. */
  async step(): Promise<void> {
    const { env, log } = this;
    const attempt = this.live()[0];
    const begun = attempt?.begun ? attempt : undefined;
    const happening = this.random() * 100;
    if (happening < 30) for (let i = 0; i < 4 && this.chance(0.7); i++) log.append(this.pick(['message', 'message', 'presence', 'skip']));
    else if (happening < 55) await (begun && this.send(begun));
    else if (happening < 60) await (begun && this.send(begun, this.random() * 0.999));
    else if (happening < 64) await attempt?.cut(this.pick([1006, 1011, 1012, 4503]));
    else if (happening < 66) await (begun && this.send(begun, 1, [{ type: 'drain', retry_ms: 3000 } as never]));
    else if (happening < 68) await (begun && this.send(begun, 1, [{ type: 'superseded' }]));
    else if (happening < 69) await begun?.send({ signals: [{ type: 'gone' }], messages: [] });
    else if (happening < 72) this.weather.set(this.pick(ALL), this.pick(['fine', 'fine', 'refused', 'silent', 'mute']));
    else if (happening < 73) log.evicted = Math.max(log.evicted, Math.floor(this.random() * (log.top + 1)));
    else if (happening < 74) await this.restart();
    else if (happening < 75) this.reload();
    else if (happening < 76) env.isOnline = !env.isOnline;
    else if (happening < 77) env.comeOnline();
    else if (happening < 78) env.happen(this.pick(['hidden', 'shown']));
    else if (happening < 82) await this.late();
    else env.clock.advance(this.random() ** 4 * 60_000);
    await this.serve();
  }

  /** The server forgets all, and whoever was connected is not any more. */
  private async restart(): Promise<void> {
    for (const attempt of this.live()) await attempt.cut();
    this.log.restart();
  }

  /** What was given up, and did not hear of it, speaks all the same. */
  private async late(): Promise<void> {
    const late = this.attempts.find((attempt) => attempt.givenUp && !attempt.ended && attempt.by instanceof Script);
    if (late) await this.send(late);
    const wire = this.attempts.find(({ by, givenUp }) => by instanceof Wire && by.kind === 'WebSocket' && givenUp);
    (wire?.by as Wire | undefined)?.frame(JSON.stringify(this.log.batch(wire!.cursor, 5)));
  }

  /** The sky clears, for these transports: all that was said is heard in the end. */
  async clear(fine: TransportName[]): Promise<void> {
    for (const name of ALL) this.weather.set(name, fine.includes(name) ? 'fine' : this.pick(['refused', 'silent']));
    this.log.append('message');
    this.env.comeOnline();
    this.env.happen('shown');
    const end = this.log.said[this.log.said.length - 1];
    for (let i = 0; i < 400; i++) {
      await this.serve();
      if (this.connection.transport && this.heard[this.heard.length - 1] === end) break;
      const [attempt] = this.live();
      if (attempt?.begun) await this.send(attempt);
      else this.env.clock.advance(2500);
    }
    expect(this.heard[this.heard.length - 1]).toBe(end);
    expect(fine).toContain(this.connection.transport);
  }
}

const life = (pos: string) => parseInt(pos.slice(0, 16), 16);
const seq = (pos: string) => Number(pos.slice(17));
const later = (a: string, b: string) => life(a) > life(b) || (life(a) === life(b) && seq(a) > seq(b));

/** Whether a hole that was told covers it. */
const covered = (pos: string, { from, to, reason }: Gap) =>
  (!from || later(pos, from)) && (life(pos) < life(to!) ? reason === 'reset' : !later(pos, to!));

describe('a connection in a storm', () => {
  test.each(Array.from({ length: 60 }, (_, i) => i + 1))('of seed %d', async (seed) => {
    const storm = new Storm(dice(seed));
    await storm.serve();
    for (let i = 0; i < 250; i++) await storm.step();
    await storm.clear(ALL.filter(() => storm.chance(0.5)).concat(storm.pick(ALL)));

    const { heard, gaps, log } = storm;
    for (let i = 1; i < heard.length; i++) expect(later(heard[i]!, heard[i - 1]!), `${heard[i - 1]} ${heard[i]}`).toBe(true);
    const had = new Set(heard);
    const lost = log.said.filter((pos) => !had.has(pos) && !gaps.some((gap) => covered(pos, gap)));
    expect(lost).toEqual([]);
    expect(gaps.filter(({ reason }) => reason === 'ids')).toEqual([]);
    expect(storm.env.reports).toEqual([]);
    expect(heard.length).toBeGreaterThan(0);
    storm.connection.close();
    expect([storm.env.clock.pending, storm.env.waiting]).toEqual([[], 0]);
  });
});
