/**
 * Chooses the transport: the best of those that work here.
 *
 * They are tried in rounds, which begin with the favourite: the last one that
 * has opened, on this page or an earlier one. After it come those behind it, and
 * then those ahead of it, which have had their turn: so where streams open and
 * are cut, they do not hand on to each other for ever. Whatever fails before it
 * has brought anything is followed by the next one at once. A proxy may also let a
 * stream begin and then keep back what follows; so one that falls silent before
 * it is proved counts as not having opened.
 *
 * What has opened is forgiven when it breaks, and what was proved also when it
 * cannot be opened then, up to twice in a row: the network was cut, or the
 * server restarted, and no other transport would do better. Proved is what
 * brings something when it has lived for PROOF, not just a second batch: there
 * are proxies that let pass what comes soon. Whatever is forgiven, and a round
 * that has come to its end, is followed by a wait.
 *
 * After a round in which all have failed, a round is the favourite and one of
 * the others in turn: it is probably the server that is down, and it should not
 * be hit five times as often for that.
 */

import type { Environment } from './environment';
import { LOYALTY, PROOF } from './times';
import type { TransportName } from './types';

export interface Chooser {
  /** The transport to use. */
  current(): TransportName;
  /** Begins a round: at first, after each wait, and when the network is another. */
  restart(): void;
  /** Something has come. `first`: of a link that was just opened. */
  heard(first: boolean): void;
  /**
   * Nothing more comes. Reports whether another transport is to be tried at
   * once. `broken`: it had opened and was cut. `refused`: it would be again.
   */
  failed(broken: boolean, refused: boolean): boolean;
}

/** `names`: the best first, and at least one. `hold`: how long the server may keep silent. `place`: where what works is kept. */
export function createChooser(env: Environment, names: readonly TransportName[], hold: number, place: string): Chooser {
  /** Those that are still to be tried in this round; the first is in use. */
  let round: TransportName[] = [];
  const kept = env.recall(place, true);
  let favourite = names.find((name) => name === kept['name']) || names[0]!;
  /** When it was chosen. Nobody knows of one that is not kept, and then there is no reason to be loyal. */
  let since = Number(kept['since']);
  /** Whether the favourite has lived for a while, and how often it has failed since. */
  let proved = false;
  let failures = 0;
  /** When the link under way brought something for the first time. */
  let opened = 0;
  /** How many rounds have failed since anything has opened. */
  let spent = 0;

  function restart(): void {
    let first = favourite;
    // It may be long ago that the better ones failed.
    if (!(Math.abs(env.now() - since) < LOYALTY)) {
      first = names[0]!;
      since = env.now();
    }
    const others = spent ? [names[spent % names.length]!] : [...names.slice(names.indexOf(favourite)), ...names];
    round = [...new Set([first, favourite, ...others])];
  }

  function heard(isFirst: boolean): void {
    const current = round[0]!;
    if (current !== favourite) {
      favourite = current;
      since = env.now();
      proved = false;
      failures = 0;
    }
    if (isFirst) {
      opened = env.now();
      spent = 0;
      env.keep(place, { name: favourite, since }, true);
    } else if (env.now() - opened >= Math.min(hold, PROOF)) {
      proved = true;
      failures = 0;
    }
  }

  function failed(broken: boolean, refused: boolean): boolean {
    if (round[0] === favourite && (proved || broken) && !refused && failures < 2) {
      failures++;
      return false;
    }
    round.shift();
    if (round.length) return true;
    spent++;
    return false;
  }

  return { current: () => round[0]!, restart, heard, failed };
}
