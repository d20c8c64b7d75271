const FIRST = 1_000;

/** The longest wait between two attempts, in ms: less than the 25 s after which a server lets go of a client nobody polls for. */
export const LONGEST = 20_000;

/**
 * How long to wait after a failure that follows `failures` others: anything
 * from nothing to a limit that doubles each time. The full range is random so
 * that the pages of a server that fell over do not come back all at once.
 */
export function backoff(failures: number, random: () => number): number {
  return random() * Math.min(LONGEST, FIRST * 2 ** failures);
}
