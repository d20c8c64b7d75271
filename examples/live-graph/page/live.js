// What the two pages have in common: the connection, and what is said about it.
// They use it as they would a WebSocket, and are told of holes besides.

'use strict';

/* global Shaveet, Order, isPoint */
/* exported live, clock */

const SHOWN_HOLES = 10;

const clock = (ms, digits = 1) =>
  new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false, fractionalSecondDigits: digits || undefined });

/** Lets the page in. Who was here before says so, and stays who they were. */
async function credentials({ clientId, token } = {}) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch('credentials', { method: 'POST', headers, body: JSON.stringify({ clientId, token }) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `the server answered ${response.status}`);
  return answer;
}

/**
 * Connects, and calls the handlers: `onmessage(point)` with each point once, in
 * order; `onhole(hole)` before a point that others are missing before;
 * `onanew()` if what was before is to be forgotten; `onconnecting()`,
 * `onopen(transport)`, `onerror(text)` and `onclose()` as the connection comes
 * and goes.
 */
async function live(handlers) {
  const { onmessage, onhole, onanew = () => {}, onconnecting = () => {}, onopen, onerror, onclose } = handlers;
  const order = new Order();
  let me;
  try {
    me = await credentials();
    if (!window.Shaveet) throw new Error('shaveet.js could not be loaded');
  } catch (error) {
    const ms = 3000 * (1 + Math.random());
    onerror(`${error.message}; trying again at ${clock(Date.now() + ms, 0)}`);
    setTimeout(() => location.reload(), ms);
    return;
  }

  let odd = false; // something came that is no point, and it has been said
  const take = (point) => {
    const found = order.next(point.x);
    if (!found) return; // it was here already
    if (found.anew) onanew();
    if (found.hole) {
      onhole(found.hole);
      announce(found.hole);
    }
    onmessage(point);
    document.dispatchEvent(new CustomEvent('point', { detail: point })); // for the tests, which watch from outside
  };

  // The points that there were when we were let in, and nothing else. Shaveet keeps nothing on
  // disk, so after a restart it knows nobody and we have to be let in again. What
  // came between its start and our return is here, and not in what comes live.
  let before = me.points;
  let asking = null;
  const takeBefore = () => {
    const points = before;
    before = [];
    points.forEach(take);
  };
  const again = () => {
    asking ??= (me ? Promise.resolve(me) : credentials(known)).finally(() => (asking = null));
    return asking;
  };
  let known = me;
  const connection = Shaveet.connect({
    url: me.url,
    cursor: me.cursor,
    clientId: async () => (await again()).clientId,
    async key() {
      const asked = await again();
      if (asked !== known) before = asked.points;
      known = asked;
      me = null; // good for once; who asks again was refused
      return asked.key;
    },
  });
  takeBefore();

  connection.on(me.channel, (message) => {
    before = []; // nothing was lost: all that is new comes live
    if (isPoint(message.data, message.time)) return take(message.data);
    if (!odd) console.warn('passed over, as all others like it: this is no point of now', message.data);
    odd = true;
  });
  connection.onGap(takeBefore); // what came before the messages that come now
  let wasOpen = false;
  const show = ({ name, until, why }) => {
    if (name === 'connected') {
      wasOpen = true;
      return onopen(connection.transport);
    }
    if (wasOpen) order.lost = true;
    if (name === 'waiting') onerror(`reconnecting (${why}), next try ${Number.isFinite(until) ? clock(until, 0) : 'later'}`);
    else if (name === 'connecting') onconnecting();
    else onclose();
  };
  connection.onState(show);
  show(connection.state);
}

/** Says where points are missing, and lists it. */
function announce({ from, to, count, lost }) {
  const span = `${clock(from)} – ${clock(to)}`;
  const points = count === 1 ? '1 point is' : `${count || 'some'} points are`;
  const text = `${points} missing: ${lost ? 'the connection was lost' : 'none came'}`;
  const line = document.createElement('li');
  line.dataset.from = from;
  line.dataset.to = to;
  const time = document.createElement('b');
  time.textContent = span;
  line.append(time, ' ', text);
  const list = document.getElementById('holes');
  list.prepend(line);
  while (list.children.length > SHOWN_HOLES) list.lastChild.remove();
  document.getElementById('none').hidden = true;
  document.getElementById('news').textContent = `Hole from ${span}: ${text}`;
}
