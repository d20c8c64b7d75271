/**
 * Times in ms. They have a file of their own, which imports nothing: from there
 * the build puts numbers where they are used, which is shorter.
 */

/** The server holds a poll it has nothing for. An empty answer sooner than this must not make us spin. */
export const TOO_SOON = 1_000;

// ---- of the poll loop

/** Several `init` in a row share a poll. */
export const GATHER = 1;
/** The server holds a poll for 25 s. One that takes this long is dead and nobody told us. */
export const DEAD = 40_000;
/** A timer for longer than this goes off at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

// ---- of a connection

/** How long the server may keep silent, if the page does not say. */
export const HOLD = 25_000;
/** The longest that a page can ask for. */
export const LONGEST_HOLD = 600_000;
/** How much longer than it may be silent a link can take. Twice and four times that after failures: the network may be slow. */
export const MARGIN = 15_000;
/** The same for a stream that has not brought anything yet, since the next transport may do better. */
export const TRIAL = 5_000;
/** A transport that has lived for as long as this, and brings something then, is one that works here. */
export const PROOF = 15_000;
/** For how long what worked is preferred to what should be better. */
export const LOYALTY = 600_000;
/** How long a function of the page may take to tell. */
export const PATIENCE = 20_000;
/** The longest wait that a server can ask for. */
export const CAP = 120_000;
