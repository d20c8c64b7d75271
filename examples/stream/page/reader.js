// What both pages share: reading one channel by Shaveet.connect, and counting
// what comes. The producer numbers its lines, so that it can be seen whether one
// is missing or comes twice. A hole is announced if Shaveet has told it (onGap)
// or the producer has (lost).

export const at = (id) => document.getElementById(id);

/**
 * Reads what is said on `channel` from now on. Calls `onLine(data, transport)`
 * with each line, `onHole({ first, last, why })` before the line that follows
 * one, and `onState(state)`. It reads once `read` is called.
 */
export function createReader(channel, { onLine, onHole, onState }) {
  const counts = { heard: 0, missing: 0, announced: 0, doubled: 0 };
  const numbers = new Map(); // of each producer the last number that has come
  let connection = null;
  let credentials = null; // the newest answer of the back end
  let cursor; // the position of the last line
  let gap = null; // what Shaveet has told since then

  async function ask() {
    const response = await fetch(`credentials?channel=${channel}`);
    if (!response.ok) throw new Error(`credentials: the server answered ${response.status}`);
    return response.json();
  }

  /**
   * `transports`: as `connect` wants it. The connection before ends, and this one
   * goes on behind the last line.
   *
   * Its url, clientId and key are asked for together: at first, for which those of
   * the connection before will do, and again when they were refused, as they are
   * after a restart of Shaveet.
   */
  function read(transports) {
    stop();
    let known = credentials;
    let answer = null; // one for all three
    const give = (member) => async () => {
      answer ??= known ? Promise.resolve(known) : ask();
      known = null;
      try {
        const given = await answer;
        if (connection === mine) credentials = given;
        return member === 'url' ? given.url || location.origin : given[member];
      } finally {
        answer = null;
      }
    };
    const mine = Shaveet.connect({ url: give('url'), clientId: give('clientId'), key: give('key'), transports, cursor });
    connection = mine;
    mine.on('*', hear);
    mine.onGap((hole) => {
      gap = hole;
    });
    mine.onState((state) => {
      if (connection === mine) onState(state); // and not of one that was replaced
    });
    onState(mine.state);
  }

  function stop() {
    const before = connection;
    connection = null;
    before?.close(); // it tells no line after this
  }

  function hear({ data, pos }) {
    cursor = pos;
    const number = data?.number ?? data?.x;
    if (!Number.isInteger(number)) return; // not of a producer
    const last = numbers.get(data.producer) ?? number - 1; // of a new one we hear from now on
    if (number <= last) {
      counts.doubled++;
    } else {
      if (number > last + 1) count(last + 1, number - 1, data.lost ?? 0);
      numbers.set(data.producer, number);
      counts.heard++;
    }
    gap = null;
    if (number > last) onLine(data, connection.transport);
  }

  function count(first, last, lost) {
    const missing = last - first + 1;
    const unsaid = Math.min(missing, lost);
    const announced = gap ? missing : unsaid;
    counts.missing += missing;
    counts.announced += announced;
    const why = [];
    if (unsaid) why.push(`${unsaid} could not be told to Shaveet`);
    if (missing > unsaid && gap) why.push(REASONS[gap.reason] ?? `Shaveet keeps them no more (${gap.reason})`);
    if (missing > announced) why.push('nobody said why');
    onHole({ first, last, why: why.join('; ') });
  }

  return {
    counts,
    read,
    stop,
    get credentials() {
      return credentials;
    },
    get transport() {
      return connection?.transport;
    },
  };
}

const REASONS = {
  reset: 'Shaveet was restarted',
  rejoin: 'this page was not on the channel',
};

/** Writes the counts where they belong. */
export function showCounts(counts) {
  for (const [name, value] of Object.entries(counts)) at(name).textContent = value;
  at('missing').dataset.bad = counts.missing > counts.announced;
  at('doubled').dataset.bad = counts.doubled > 0;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const range = ({ first, last }) => (first === last ? `${first}` : `${first} to ${last}`);

export function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Returns false, and says so, if Shaveet's script is not there. */
export function hasScript() {
  if (window.Shaveet) return true;
  at('problem').textContent = 'shaveet.js could not be loaded. Is Shaveet running? Then reload this page.';
  at('problem').hidden = false;
  return false;
}
