// A line of the list: a summary, and what is inside when it is opened. All that
// has passed goes into the page as text, never as HTML.
import { layOut } from './json.js';
import { hex, bytesOf } from './hex.js';

function element(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

const clock = new Intl.DateTimeFormat([], { minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

const KINDS = { head: 'HTTP', body: 'body', chunk: 'piece', frame: 'WS', zmtp: 'ZMTP', raw: 'bytes', open: '', close: '' };

/** A value in one line. */
const short = (json) => {
  const text = layOut(json);
  return text.length > 300 ? `${text.slice(0, 300)} …` : text;
};

export function makeRow(event) {
  const details = element('details');
  const summary = element('summary', '');
  const time = element('time', '', clock.format(event.at));
  time.dateTime = new Date(event.at).toISOString();
  summary.tabIndex = -1; // one of them is a stop: see focus.js
  summary.append(time, ...(event.call ? callParts(event) : wireParts(event)));
  details.append(summary);
  details.addEventListener('toggle', () => details.append(inside(event)), { once: true });
  const row = element('li', event.call ? 'call' : event.kind === 'open' || event.kind === 'close' ? 'quiet' : '', details);
  row.dataset.door = event.door;
  row.dataset.call = !!event.call;
  return row;
}

function direction(up) {
  return element('span', 'to', arrow(up), element('span', 'unseen', up ? 'to Shaveet' : 'from Shaveet'));
}

function arrow(up) {
  const made = element('span', '', up ? '→' : '←');
  made.ariaHidden = 'true';
  return made;
}

function wireParts({ up, kind, title, conn, bytes }) {
  const what = element('span', 'what');
  if (KINDS[kind]) what.append(element('span', 'kind', KINDS[kind]), ' ');
  // What batches begin with says little, and leaves no room for what they say.
  what.append(title.replace(/\{"cursor":"[^"]*",(?:"signals":\[\],)?/, '{…').replace(/"id":\d+,"pos":"[^"]*","sender":(?:null|"[^"]*"),/g, '…') || '(empty)');
  return [direction(up), what, element('span', 'size', bytes ? `${bytes} B` : `#${conn}`)];
}

function callParts({ call }) {
  const { params, result, error, ms, cut } = call;
  const asked = element('span', 'asked', element('span', 'method', call.method));
  if (call.of > 1) asked.append(' ', element('span', 'batch', `(${call.number}${call.rest > 1 ? ` to ${call.of}` : ''} of ${call.of} together)`));
  if (params !== undefined) asked.append(' ', short(params));
  const what = element('span', 'what', asked);
  const answer = element('span', error ? 'part bad' : 'part', element('b', '', error ? '✕ ' : '= '));
  answer.append(error ?? (result === undefined ? (cut ? '(too long to be shown)' : '(no answer was asked for)') : short(result)));
  what.append(answer);
  return [element('span', 'to', 'call'), what, element('span', 'size', `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`)];
}

// ---- inside

function block(title, text, className) {
  const pre = element('pre', className ?? '', text);
  pre.tabIndex = 0;
  pre.ariaLabel = title;
  return [element('h3', '', title), pre];
}

/** JSON with a line for each member; other text as it is. */
function pretty(text) {
  try {
    JSON.parse(text); // is it?
    return layOut(text, '  ');
  } catch {
    return text;
  }
}

function inside(event) {
  const { call, text, cut, raw, bytes, kind, conn } = event;
  const parts = [];
  if (call) {
    parts.push(...block('Method', call.method));
    if (call.params !== undefined) parts.push(...block('Params', layOut(call.params, '  ')));
    if (call.error) parts.push(...block('Error', call.error));
    else if (call.result !== undefined) parts.push(...block('Result', layOut(call.result, '  ')));
    if (call.cut) parts.push(element('p', '', 'What is missing here is too long to be shown.'));
    return element('div', 'inside', ...parts);
  }
  if (text) parts.push(...block(`${kind === 'head' ? 'Head' : 'Text'}${cut ? ', its beginning' : ''}`, kind === 'head' ? text : pretty(text)));
  if (raw) {
    const all = bytesOf(raw);
    parts.push(...block(all.length < bytes ? `The first ${all.length} of ${bytes} bytes` : `${bytes} bytes`, hex(all), 'hex'));
  }
  parts.push(element('p', '', `connection ${conn}`));
  return element('div', 'inside', ...parts);
}
