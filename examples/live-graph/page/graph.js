// The graph, drawn by uPlot.

'use strict';

/* global uPlot, live, clock */

const NEWEST = 100;
const at = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const calm = matchMedia('(prefers-reduced-motion: reduce)');

let points = []; // {x, y}, and {x, y: null} within a hole, where the line is to end
let holes = []; // {from, to}
let arrived = -Infinity; // when the newest point came, by our clock

// ---- what comes

const newer = (limit) => (point) => point.x >= limit;

function add(point) {
  points.push(point);
  const real = points.filter(({ y }) => y !== null);
  if (real.length > NEWEST) points = points.filter(newer(real[real.length - NEWEST].x));
  holes = holes.filter(({ to }) => to >= points[0].x);
  draw();
}

live({
  onmessage(point) {
    arrived = Date.now();
    add(point);
  },
  onhole(hole) {
    holes.push(hole);
    points.push({ x: (hole.from + hole.to) / 2, y: null });
  },
  onanew() {
    points = [];
    holes = [];
  },
  onconnecting: () => say('connecting', 'connecting'),
  onopen: (transport) => say('connected', `connected by ${transport}`),
  onerror: (text) => say('waiting', text),
  onclose: () => say('closed', 'closed'),
});

function say(name, text) {
  at('state').dataset.state = name;
  at('state').textContent = text;
}

// ---- what is seen

/** Shades the holes, with their times if there is room for them. */
function shade(u) {
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  ctx.save();
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = 'center';
  for (const { from, to } of holes) {
    const begin = Math.max(left, u.valToPos(from, 'x', true));
    const end = Math.min(left + width, u.valToPos(to, 'x', true));
    if (end <= begin) continue;
    ctx.fillStyle = colour('--hole');
    ctx.fillRect(begin, top, end - begin, height);
    const lines = ['no data', clock(from), clock(to)];
    if (end - begin < 1.2 * Math.max(...lines.map((line) => ctx.measureText(line).width))) continue;
    ctx.fillStyle = colour('--quiet');
    lines.forEach((line, i) => ctx.fillText(line, (begin + end) / 2, top + (18 + 16 * i) * devicePixelRatio));
  }
  ctx.restore();
}

const axis = { stroke: () => colour('--quiet'), grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false } };

const plot = new uPlot(
  {
    ...size(),
    ms: 1,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 8 } },
    scales: { y: { range: [0, 5] } },
    axes: [{ ...axis, size: 30, space: 90, values: (u, times) => times.map((ms) => (ms % 1000 ? '' : clock(ms, 0))) }, { ...axis, size: 32 }],
    series: [{}, { stroke: () => colour('--accent'), fill: () => colour('--under'), width: 2, spanGaps: false, points: { show: true, size: 4 } }],
    hooks: { drawAxes: [shade] },
  },
  [[], []],
  at('graph'),
);

function size() {
  const width = at('graph').clientWidth;
  return { width, height: Math.round(Math.min(380, Math.max(220, width * 0.5))) };
}
new ResizeObserver(() => plot.setSize(size())).observe(at('graph'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw());

let paused = false;
let due = false;

/** Draws soon, however many points come until then. */
function draw() {
  if (due || paused) return;
  due = true;
  const now = () => {
    due = false;
    if (!paused) plot.setData([points.map(({ x }) => x), points.map(({ y }) => y)]);
  };
  if (calm.matches) setTimeout(now, 1000);
  else requestAnimationFrame(now);
}

at('pause').addEventListener('click', () => {
  paused = !paused;
  at('pause').setAttribute('aria-pressed', paused);
  at('pause').textContent = paused ? 'Go on' : 'Pause';
  draw();
});

/** What the graph shows in words: for those who do not see it, who are not told all the time. */
function tell() {
  const last = points.at(-1);
  // By their own times: what is made up for comes all at once, and says nothing of the pace.
  const pace = Date.now() - arrived > 2000 ? 0 : points.filter(({ x }) => x > last.x - 2000).length / 2;
  at('now').textContent = last ? `${last.y.toFixed(2)} · ${Math.round(pace)} points/s` : 'no points yet: is the producer running?';
  if (last) at('graph').setAttribute('aria-label', `A sine. Its newest point: ${last.y.toFixed(2)} at ${clock(last.x)}`);
}
setInterval(tell, 1000);
