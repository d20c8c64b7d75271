// What passes on the wires of the example that is shown, as the demo tells it:
// the newest at the end. Rows are bounded, and while the page is paused so is
// what waits; what is not shown is counted.
import { byKeyboard, focused, setStop } from './focus.js';
import { makeRow } from './row.js';

const at = (id) => document.getElementById(id);
const ROWS = 400;
const list = at('events');
const doors = new Map([...document.querySelectorAll('.door')].map((button) => [button.dataset.door, { button, on: true, bytes: 0, calls: 0, told: 0 }]));

let name = '';
let source = null;
let last = 0; // id of the newest event
let life = '';
let filter = 'all';
let paused = false;
let following = true;
let waiting = []; // events that are not in the list yet
let missed = 0;

// ---- from the demo

/** Shows an example's events, from those that are kept on. */
export function watch(example) {
  if (example === name) return;
  name = example;
  last = 0;
  for (const door of doors.values()) {
    Object.assign(door, { bytes: 0, calls: 0, told: 0 });
    door.button.hidden = true;
  }
  pause(false);
  clear();
  listen();
}

function listen() {
  source?.close();
  source = null;
  if (document.hidden) return; // nobody looks, and connections are few
  const mine = new EventSource(`events/${name}?after=${last}`);
  source = mine;
  mine.addEventListener('life', ({ data }) => {
    if (life && data !== life) location.reload(); // the demo was restarted
    life = data;
    showState();
  });
  mine.addEventListener('lost', ({ data }) => {
    missed += Number(data);
    schedule();
  });
  mine.addEventListener('passed', ({ data }) => {
    // Of all that has passed, as the list has not.
    for (const [door, sums] of Object.entries(JSON.parse(data))) Object.assign(doors.get(door), sums);
    schedule();
  });
  mine.onmessage = ({ data, lastEventId }) => {
    last = Number(lastEventId);
    if (data) take(JSON.parse(data));
  };
  mine.onerror = () => {
    showState();
    // There is no room for us, or no demo: by itself it would not try again.
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => source === mine && listen(), 5000);
  };
}

document.addEventListener('visibilitychange', listen);

function take(event) {
  const door = doors.get(event.door);
  door.told = performance.now();
  waiting.push(event);
  if (waiting.length > ROWS) {
    waiting.shift();
    missed++;
  }
  schedule();
}

// ---- into the list

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(show, 60); // several at once
}

function show() {
  scheduled = false;
  showDoors();
  showState();
  if (paused) return;
  const rows = document.createDocumentFragment();
  if (missed) {
    rows.append(makeNote(missed));
    missed = 0;
  }
  for (const event of waiting) {
    const row = makeRow(event);
    row.hidden = !isShown(row.dataset);
    rows.append(row);
  }
  waiting = [];
  list.append(rows);
  trim();
  setStop(list);
  sayWhyEmpty();
  if (focused(list)) return; // a line that is being read does not run away
  if (following) list.scrollTop = list.scrollHeight;
  at('follow').hidden = following;
}

function makeNote(count) {
  const note = document.createElement('li');
  note.className = 'note';
  note.textContent = `${count} ${count === 1 ? 'line was' : 'lines were'} too much to be shown here. The examples got all.`;
  return note;
}

/** Takes the oldest lines away. A note goes with the line behind it, so that it
 *  is there as long as the hole is seen; and who has the focus stays. */
function trim() {
  const stays = focused(list);
  let extra = list.querySelectorAll('li:not(.note)').length - ROWS;
  for (let row = list.firstElementChild; row && extra > 0; ) {
    const next = row.nextElementSibling;
    if (!row.matches('.note')) extra--;
    if (row !== stays) row.remove();
    row = next;
  }
}

const isShown = ({ door, call }) => !door || (doors.get(door).on && (filter === 'all' || (filter === 'calls') === (call === 'true')));

function choose() {
  for (const row of list.children) row.hidden = !isShown(row.dataset);
  setStop(list);
  sayWhyEmpty();
  if (following) list.scrollTop = list.scrollHeight;
}

function sayWhyEmpty() {
  list.dataset.empty = list.childElementCount
    ? 'Nothing of what has passed is chosen to be shown.'
    : 'Nothing has passed yet. Use the example, and see.';
}

function clear() {
  list.replaceChildren();
  waiting = [];
  missed = 0;
  follow(true);
  choose();
  showState();
}

// ---- what is said about it

const size = (bytes) => (bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function showDoors() {
  for (const door of doors.values()) {
    const { button, bytes, calls, told } = door;
    if (told || bytes) button.hidden = false;
    button.querySelector('small').textContent = (calls ? `${calls} ${calls === 1 ? 'call' : 'calls'} · ` : '') + size(bytes);
    button.classList.add('busy');
    clearTimeout(door.timer);
    const quiet = 400 - (performance.now() - told);
    if (!told || quiet <= 0) button.classList.remove('busy');
    else door.timer = setTimeout(() => button.classList.remove('busy'), quiet);
  }
}

function showState() {
  const broken = source && source.readyState !== EventSource.OPEN;
  const held = waiting.length + missed;
  const text = broken ? 'connecting' : paused ? (held ? 'more waits' : 'paused') : 'live';
  at('state').dataset.state = broken ? 'lost' : paused ? 'paused' : 'live';
  if (at('state').textContent !== text) at('state').textContent = text; // screen readers hear changes only
}

// ---- what people do

function pause(on) {
  paused = on;
  at('pause').setAttribute('aria-pressed', on);
  at('pause').textContent = on ? 'Go on' : 'Pause';
  schedule();
}

function follow(on) {
  following = on;
  at('follow').hidden = on;
  if (on) list.scrollTop = list.scrollHeight;
}

at('pause').addEventListener('click', () => {
  pause(!paused);
  if (!paused) follow(true);
});
at('clear').addEventListener('click', clear);
at('follow').addEventListener('click', () => follow(true));
// What the list's own size does to it is not somebody who scrolls.
const measure = () => `${list.clientWidth} ${list.clientHeight}`;
let measured = measure();
new ResizeObserver(() => {
  measured = measure();
  if (following) list.scrollTop = list.scrollHeight;
}).observe(list);
list.addEventListener('scroll', () => {
  if (measured !== measure()) return;
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  if (atEnd !== following && !paused) follow(atEnd);
});
// Who opens a line wants to read it.
list.addEventListener(
  'toggle',
  ({ target }) => {
    if (!target.open) return;
    pause(true);
    requestAnimationFrame(() => target.scrollIntoView({ block: 'nearest' })); // with what is inside
  },
  true,
);

for (const radio of document.querySelectorAll('input[name="filter"]')) {
  radio.addEventListener('change', () => {
    filter = radio.value;
    choose();
  });
}
for (const door of doors.values()) {
  door.button.addEventListener('click', () => {
    door.on = !door.on;
    door.button.setAttribute('aria-pressed', door.on);
    choose();
  });
}
byKeyboard(list);
