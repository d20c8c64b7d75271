// The page of the random data. It reads by a WebSocket and by nothing else, says
// how that is in the words of the tutorial, and draws what comes.

import { at, clock, createReader, element, hasScript, range, showCounts } from './reader.js';

const SHOWN = 100; // values in the list
const SPACE = 14; // between two values of the chart, in pixels
const TOP = 5; // the highest y
const MARGIN = { left: 28, right: 12, top: 12, bottom: 28 };
const SVG = 'http://www.w3.org/2000/svg';

let points = []; // the newest last, all of one producer
let producer;
const gone = new Set(); // producers that another one has followed: each numbers its values from 1
let closed = false;

const reader = createReader('random', {
  onLine({ x, y, producer: from }) {
    if (from !== producer && !gone.has(from)) follow(from, x);
    if (from === producer) points.push({ x, y });
    if (points.length > 500) points = points.slice(-200); // more than the widest chart shows
    at('values').prepend(element('li', '', `x ${x}, y ${y}`));
    trim();
    draw();
    showCounts(reader.counts);
  },
  onHole(hole) {
    const text = `Missing: x ${range(hole)} (${hole.why})`;
    at('values').prepend(element('li', 'hole', text));
    at('hole').textContent = text;
  },
  onState: show,
});

/** Begins the chart anew, if the back end was restarted: its numbers have nothing to do with those before. */
function follow(from, x) {
  if (producer !== undefined) {
    gone.add(producer);
    const text = `A new producer, from x ${x}`;
    at('values').prepend(element('li', 'hole', text));
    at('hole').textContent = text;
  }
  producer = from;
  points = [];
}

function trim() {
  while (at('values').childElementCount > SHOWN) at('values').lastElementChild.remove();
}

/** A connection that is tried again was closed by the server, or an error. */
function show({ name, until, why }) {
  const chip = at('state');
  let word = chip.textContent; // while it is tried again it is what it was
  if (name === 'connected') word = 'Connected';
  if (name === 'waiting') word = why === 'drain' ? 'Closed' : 'Error';
  if (name === 'closed') word = 'Closed';
  at('detail').textContent =
    name === 'waiting' ? `${why}: next try ${Number.isFinite(until) ? clock(until) : 'later'}` : closed ? 'What comes now is kept for you, for a while.' : '';
  if (chip.textContent === word) return; // screen readers hear changes only
  chip.dataset.state = { Connected: 'connected', Error: 'waiting' }[word] ?? 'closed';
  chip.textContent = word;
}

// ---- the chart

function shape(tag, attributes, text = '') {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

/** Draws all anew: twice a second, of some dozens of shapes, that is little. */
function draw() {
  const chart = at('chart');
  const { clientWidth: width, clientHeight: height } = chart;
  const room = Math.max(2, Math.floor((width - MARGIN.left - MARGIN.right) / SPACE));
  const last = points.at(-1)?.x ?? 0;
  const first = Math.max(points[0]?.x ?? 0, last - room);
  const seen = points.filter(({ x }) => x >= first);
  const left = (x) => MARGIN.left + (x - first) * SPACE;
  const top = (y) => height - MARGIN.bottom - ((y - 1) / (TOP - 1)) * (height - MARGIN.top - MARGIN.bottom);

  const parts = [];
  for (let y = 1; y <= TOP; y++) {
    parts.push(shape('line', { class: 'grid', x1: MARGIN.left, x2: width - MARGIN.right, y1: top(y), y2: top(y) }));
    parts.push(shape('text', { x: MARGIN.left - 12, y: top(y) + 4, 'text-anchor': 'end' }, y));
  }
  for (let x = Math.ceil(first / 10) * 10; x <= last; x += 10) {
    parts.push(shape('text', { x: left(x), y: height - 8, 'text-anchor': 'middle' }, x));
  }
  // A hole breaks the line, and is seen.
  seen.forEach(({ x }, i) => {
    const before = seen[i - 1]?.x ?? x;
    if (x - before > 1) parts.push(shape('rect', { class: 'hole', x: left(before), y: top(TOP), width: left(x) - left(before), height: top(1) - top(TOP) }));
  });
  const path = seen.map(({ x, y }, i) => `${i && seen[i - 1].x === x - 1 ? 'L' : 'M'}${left(x)} ${top(y)}`).join('');
  parts.push(shape('path', { class: 'curve', d: path }));
  for (const { x, y } of seen) {
    parts.push(shape('circle', { class: x === last ? 'last' : '', cx: left(x), cy: top(y), r: x === last ? 5 : 3 }));
  }
  chart.replaceChildren(...parts);
  chart.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const { x, y } = seen.at(-1) ?? {};
  chart.setAttribute('aria-label', seen.length ? `y of the last ${seen.length} values; now ${y}, at x ${x}` : 'no values yet');
}

// ---- what people do

function read() {
  closed = false;
  at('pause').textContent = 'Close';
  reader.read(['websocket']);
}

at('pause').addEventListener('click', () => {
  if (closed) return read();
  closed = true;
  at('pause').textContent = 'Connect';
  reader.stop();
  show({ name: 'closed' });
});

new ResizeObserver(draw).observe(at('chart'));
if (hasScript()) read();
