// The page: it hears by the stock client of Socket.IO, from Shaveet, and says by
// requests to its own web application (say.js). Whatever comes from people goes
// into the page as textContent and never as HTML.

import { listenToForm, mine, wasHeard } from './say.js';

const LIMITS = { u: 40, m: 2000, id: 64, w: 40 }; // characters
const SHOWN = 500; // lines
const at = (id) => document.getElementById(id);
const shaveet = document.body.dataset.shaveet || location.origin;

let socket = null;
let client = {}; // of the last answer to join: who we are, to come back as
let lostAt = 0; // when the connection broke
const known = new Set(); // keys of lines that have come

// ---- the connection

function connect() {
  // It asks for what it needs whenever it connects: after a restart Shaveet
  // knows nobody.
  socket = io(shaveet, { auth });
  socket.on('connect', () => {
    show('live', 'Connected');
    at('again').hidden = true;
    if (lostAt) notice(`Connected again after ${Math.max(1, Math.round((Date.now() - lostAt) / 1000))} s, ${socket.recovered ? 'as the same socket' : 'as a new socket'}`);
    lostAt = 0;
  });
  socket.on('message', hear);
  socket.on('disconnect', (reason) => {
    if (reason !== 'forced close') lost('Closed', reason); // that was us, and it has been said why
  });
  socket.on('connect_error', (error) => {
    lost('Error', error.message);
    // The stock client does not try again where it was refused. We do, with
    // what is asked for then.
    if (!socket.active) setTimeout(() => socket.connect(), 1000 + 1000 * Math.random());
  });
  socket.io.on('reconnect_attempt', (number) => why(`try ${number}`));
}

let attempts = 0;

/** Lets ourselves in, and then shows `show` what Shaveet wants to see. */
async function auth(show) {
  const attempt = ++attempts; // the connection may break meanwhile, and another one ask
  try {
    const { auth: credentials, lines } = await join();
    lines.forEach(hear);
    if (attempt === attempts) show(credentials);
  } catch (error) {
    if (attempt !== attempts) return;
    lost('Error', `web app: ${error.message}`);
    socket.io.engine.close(); // it tries again after a while, as after any loss
  }
}

async function join() {
  const response = await fetch('join', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ client_id: client.client_id ?? '', token: client.token ?? '' }),
    signal: AbortSignal.timeout(10_000),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  client = { client_id: answer.auth.client_id, token: answer.token };
  return answer;
}

function lost(word, reason) {
  if (lostAt === 0 && at('state').dataset.state === 'live') lostAt = Date.now();
  show('lost', word);
  // Where it was sent away it does not come back by itself.
  const dismissed = reason === 'io server disconnect';
  why(dismissed ? 'sent away' : reason);
  at('again').hidden = !dismissed;
}

at('again').addEventListener('click', () => socket.connect());

// ---- what is heard

const isText = (value, limit) => typeof value === 'string' && [...value].length <= limit;

/** A message as Shaveet has it, or a line from the web application, which is the
 *  same. Anything can be published, so what is no line is passed over. */
function hear(message) {
  const data = message.data;
  if (data === null || typeof data !== 'object') return;
  if (!Object.keys(LIMITS).every((name) => isText(name in data ? data[name] : '', LIMITS[name])) || !data.u || !data.m) return;
  // Attempts to say the same have one id. What nobody gave one has its place.
  const key = data.id || message.pos;
  if (known.has(key)) return;
  known.add(key);
  if (known.size > 2 * SHOWN) known.delete(known.values().next().value);
  wasHeard(data.id);
  const line = element('li', mine(data.id) ? 'mine' : '', '');
  const time = element('time', '', new Date(message.time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  time.dateTime = new Date(message.time).toISOString();
  const from = element('span', 'from', data.w ? `${data.w} · ` : '');
  from.append(time);
  // Each isolated, so that none can turn what is beside it around.
  line.append(element('bdi', 'who', data.u), ' ', element('bdi', 'text', data.m), from);
  add(line);
}

const notice = (text) => add(element('li', 'notice', text));

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

let following = true; // the newest line; not if somebody reads further up
let shape = '';

const shapeOf = ({ clientWidth, clientHeight }) => `${clientWidth} ${clientHeight}`;

function add(line) {
  at('log').append(line);
  while (at('log').childElementCount > SHOWN) at('log').firstElementChild.remove();
  follow();
}

function follow() {
  shape = shapeOf(at('log'));
  if (following) at('log').scrollTop = at('log').scrollHeight;
}

at('log').addEventListener('scroll', ({ target }) => {
  if (shapeOf(target) !== shape) return; // nobody has scrolled: it is another size now
  following = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
});
new ResizeObserver(follow).observe(at('log'));

// ---- what is seen of the connection

function show(state, word) {
  why('');
  if (at('state').textContent === word) return; // screen readers hear changes only
  at('state').dataset.state = state;
  at('state').textContent = word;
}

const why = (text) => (at('why').textContent = text && `(${text})`);

// ---- the beginning

/** The stock client, if Shaveet was away when the page was loaded. */
function load() {
  const script = document.createElement('script');
  script.src = `${shaveet}/socket.io/socket.io.min.js`;
  script.onload = connect;
  script.onerror = () => {
    script.remove();
    setTimeout(load, 1000 + 1000 * Math.random());
  };
  document.head.append(script);
}

listenToForm();
if (window.io) connect();
else {
  show('lost', 'Error');
  why('Shaveet does not answer');
  load();
}
