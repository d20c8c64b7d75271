// The page of the lines. It reads by the transport that is chosen, and goes on by
// another one where the first was when another is chosen.

import { at, clock, createReader, element, hasScript, range, showCounts } from './reader.js';

const SHOWN = 200; // lines; more would be too much to scroll through
const transports = document.forms.choice.elements.transport;
let paused = false;
let following = true; // the newest line; not if somebody reads further up

const reader = createReader('hello', {
  onLine(data, transport) {
    const line = element('li', '', '');
    line.append(
      element('span', 'number', data.number),
      element('span', 'text', data.text),
      element('span', 'tag', transport),
      element('time', '', clock(data.time)),
    );
    add(line);
    showCounts(reader.counts);
  },
  onHole(hole) {
    const text = `Missing: ${range(hole)} (${hole.why})`;
    add(element('li', 'hole', text));
    at('hole').textContent = text;
  },
  onState: show,
});

function add(line) {
  const list = at('lines');
  list.append(line);
  while (list.childElementCount > SHOWN) list.firstElementChild.remove();
  follow();
}

function follow() {
  if (following) at('lines').scrollTop = at('lines').scrollHeight;
}

function show({ name, until, why }) {
  const chip = at('state');
  const text = {
    connecting: 'connecting…',
    connected: `connected by ${reader.transport}`,
    waiting: `waiting (${why}), next try ${Number.isFinite(until) ? clock(until) : 'later'}`,
    closed: paused ? 'paused' : `closed: ${why}`,
  }[name];
  at('transport').textContent = reader.transport ?? '–';
  if (chip.textContent === text) return; // screen readers hear changes only
  chip.dataset.state = name;
  chip.textContent = text;
  if (name === 'connected') showCommands();
}

/** By what is chosen; `automatic` leaves the choice to the library. */
function read() {
  paused = false;
  at('pause').textContent = 'Pause';
  reader.read(transports.value === 'automatic' ? undefined : [transports.value]);
}

/** With the addresses of here, to copy. */
function showCommands() {
  const page = new URL('credentials', location).href;
  const { url, channel } = reader.credentials;
  const shaveet = url || location.origin;
  const commands = [
    `curl -s ${page} | curl -N ${shaveet}/stream -d @-`,
    `curl -s ${page} | curl -N ${shaveet}/sse -d @-`,
    `shaveet listen ${channel}`,
  ];
  at('commands').replaceChildren(...commands.map((command) => element('code', '', command)));
}

at('choice').addEventListener('change', () => {
  history.replaceState(null, '', `#${transports.value}`);
  read();
});

at('pause').addEventListener('click', () => {
  if (paused) return read();
  paused = true;
  at('pause').textContent = 'Go on';
  reader.stop();
  show({ name: 'closed' });
});

at('lines').addEventListener('scroll', () => {
  const { scrollHeight, scrollTop, clientHeight } = at('lines');
  following = scrollHeight - scrollTop - clientHeight < 40;
});
new ResizeObserver(follow).observe(at('lines'));

const wanted = location.hash.slice(1);
if ([...transports].some(({ value }) => value === wanted)) transports.value = wanted;
if (hasScript()) read();
