// The page: reads by what it is told to, and notes all that it is told, where a
// reload finds it again. What it thinks of it does not matter; see the oracle.

import { share } from '/tabs.mjs';

const query = new URLSearchParams(location.search);
const shared = query.has('shared');
const ALL = ['websocket', 'sse', 'stream', 'longpoll', 'jsonp'];

/** All that the page was told, also before it was loaded again. */
window.record = [];
for (let text; (text = sessionStorage[`noted ${record.length}`]); ) record.push(JSON.parse(text));

const last = {};
const seen = new Set();
const table = new Map();
let position;
let connection;

function note(entry) {
  sessionStorage[`noted ${record.length}`] = JSON.stringify(entry);
  record.push(entry);
  count(entry);
}

const row = (name) => {
  if (!table.has(name)) table.set(name, { received: 0, twice: 0, holes: 0, gone: 0, opened: 0 });
  return table.get(name);
};

function count({ k, c, n, p, w, by }) {
  if (!by) return; // it is no affair of a transport
  const of = row(by);
  if (k === 'message') {
    seen.has(p) ? of.twice++ : of.received++;
    seen.add(p);
    last[c] = n;
    position = p;
  }
  if (k === 'gap') of.holes++;
  if (k === 'gone') of.gone++;
  if (k === 'state' && w === 'connected') of.opened++;
}
record.forEach(count);

/** By what the page reads; what is told before a batch is through is told by what the page was on last. */
let transport = sessionStorage.transport || '';
function by() {
  transport = connection?.transport || transport;
  return (sessionStorage.transport = transport);
}

/** Connects by these transports, in place of the connection there is. `how`: 'resume', or 'cursor' to say where by ourselves. */
window.go = (transports, how) => {
  connection?.close();
  sessionStorage.transports = JSON.stringify(transports);
  note({ k: 'connect', w: how });
  const options = {
    url: location.origin,
    clientId: 'alice',
    key: () => fetch('/key', { method: 'POST' }).then((response) => (response.ok ? response.text() : Promise.reject(Error('no key')))),
    resume: true,
    wait: 2000,
    transports,
    ...(how === 'cursor' && position && { cursor: position }),
  };
  const mine = shared ? share(Shaveet.connect, options) : Shaveet.connect(options);
  connection = mine;
  mine.on('*', ({ channel, id, pos, data }) =>
    note({ k: 'message', c: channel, n: data.n, i: id, p: pos, x: data.pad.length, by: by() }),
  );
  mine.onGap(({ channel, from, to, reason }) => note({ k: 'gap', c: channel, f: from, t: to, w: reason, by: by() }));
  mine.onGone(() => note({ k: 'gone', by: by() }));
  mine.onState(({ name, why }) => note({ k: 'state', w: name, why, by: by() }));
};

/** What the test asks again and again. */
window.look = () => ({ state: connection.state.name, why: connection.state.why, transport: connection.transport ?? '', last });

// ---- for those who look at it

const cell = (text) => Object.assign(document.createElement('td'), { textContent: text });

function render() {
  document.getElementById('title').textContent = `${query.get('case')}, ${query.get('name')}`;
  const upTo = Object.entries(last).sort().map(([channel, n]) => `${channel} up to ${n}`);
  document.getElementById('channels').textContent = upTo.join(' · ') || 'nothing yet';
  const rows = [...table].map(([name, { received, twice, holes, gone, opened }]) => {
    const tr = document.createElement('tr');
    const state = document.createElement('b');
    state.textContent = name === transport ? connection.state.name : 'idle';
    state.className = `state ${name === transport ? connection.state.name : ''}`;
    const td = document.createElement('td');
    td.append(state);
    tr.append(cell(name), ...[received, twice, holes, gone, opened].map(cell), td);
    return tr;
  });
  document.getElementById('rows').replaceChildren(...rows);
}

/** Shows the table and what was done to the page: pairs of a number and a word. */
window.show = (story) => {
  render();
  const items = story.map(([at, what]) => {
    const li = document.createElement('li');
    li.append(Object.assign(document.createElement('i'), { textContent: at }), what);
    return li;
  });
  document.getElementById('story').replaceChildren(...items);
};

document.addEventListener('freeze', () => {
  window.frozen = true;
  note({ k: 'frozen' });
});
document.addEventListener('resume', () => (window.frozen = false));
document.addEventListener('visibilitychange', () => document.hidden && note({ k: 'hidden' }));
note({ k: 'load' });
go(sessionStorage.transports ? JSON.parse(sessionStorage.transports) : query.has('by') ? [query.get('by')] : ALL, 'resume');
setInterval(render, 500);
