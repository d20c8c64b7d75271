// The page of the chat example. It asks its own back end to join and to speak,
// and hears everything, its own words included, from Shaveet. Whatever comes
// from people goes into the page as textContent and never as HTML.
'use strict';

const MAX_LINES = 500;
const at = (id) => document.getElementById(id);

let me = null; // the answer to our last join
let rejoining = false;
const names = new Map(); // client_id: name, of whoever is or was here
const present = new Set(); // client_ids of whoever is here
let moves = 0; // how often somebody came or went

// ---- the back end

async function post(path, body) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (response.ok) return response.status === 204 ? null : response.json();
  const { error } = await response.json().catch(() => ({}));
  throw new Error(error || `the server answered ${response.status}`);
}

async function join(name) {
  show('connecting', 'connecting…');
  const before = me;
  me = await post('join', { name, client_id: before?.client_id ?? '', token: before?.token ?? '' });
  names.set(me.client_id, me.name);
  Shaveet.stopListening(me.channel);
  Shaveet.listenSingle(me.channel, hear);
  Shaveet.init(me.client_id, me.key);
  await refreshMembers();
}

// Shaveet keeps nothing on disk: after a restart it knows none of us, says so,
// and everybody joins again, at slightly different times.
async function rejoin() {
  if (rejoining) return;
  rejoining = true;
  show('lost', 'joining again…');
  for (let attempt = 0; ; attempt++) {
    try {
      await join(me.name);
      break;
    } catch {
      show('lost', 'joining again…');
      await pause(Math.min(1000 * 2 ** attempt, 15000) * (0.5 + Math.random()));
    }
  }
  rejoining = false;
}

// ---- Shaveet

function hear({ client_id: id, payload, payload_raw: text }) {
  show('live', 'connected');
  if (payload === null || typeof payload !== 'object') {
    saysPlainly(id, text);
    return;
  }
  switch (payload.type) {
    case 'message':
      names.set(id, String(payload.name));
      says(id, String(payload.text));
      break;
    case 'subscribe':
      comes(id);
      break;
    case 'unsubscribe':
      goes(id);
      break;
    default:
      saysPlainly(id, text);
  }
}

// What is not from our back end comes from somebody with a terminal.
function saysPlainly(id, text) {
  names.set(id, names.get(id) ?? String(id));
  says(id, text);
}

async function comes(id) {
  moves++;
  present.add(id);
  const who = notice(id, id === me.client_id ? 'You have joined' : 'joined');
  if (!names.has(id)) await refreshMembers().catch(() => {});
  if (who) who.textContent = nameOf(id);
  listMembers();
}

function goes(id) {
  moves++;
  if (!present.delete(id)) return;
  notice(id, 'left');
  listMembers();
}

async function refreshMembers() {
  const before = moves;
  const response = await fetch('members');
  if (!response.ok) throw new Error(`members: ${response.status}`);
  const members = await response.json();
  if (moves !== before) return refreshMembers(); // the list may be older than what we have heard since
  present.clear();
  for (const member of members) {
    names.set(member.client_id, member.name);
    present.add(member.client_id);
  }
  listMembers();
}

const nameOf = (id) => names.get(id) ?? 'Somebody';

// ---- what is seen

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function says(id, text) {
  const line = element('li', id === me.client_id ? 'mine' : '', '');
  const now = new Date();
  const time = element('time', '', now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  time.dateTime = now.toISOString();
  line.append(element('span', 'who', nameOf(id)), ' ', text, time);
  addLine(line);
}

// Returns the element with the name, which may be known only later.
function notice(id, what) {
  const line = element('li', 'notice', '');
  const who = id === me.client_id && what !== 'left' ? null : element('span', 'who', nameOf(id));
  line.append(...(who ? [who, ' ', what] : [what]));
  addLine(line);
  return who;
}

function addLine(line) {
  const log = at('log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40; // do not pull away who reads further up
  log.append(line);
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function listMembers() {
  const here = [...present].filter((id) => names.has(id)).sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  at('members').replaceChildren(...here.map((id) => element('li', id === me.client_id ? 'me' : '', nameOf(id))));
  at('count').textContent = `(${here.length})`;
}

function show(state, text) {
  const chip = at('state');
  if (chip.dataset.state === state && chip.textContent === text) return; // screen readers hear changes only
  chip.dataset.state = state;
  chip.textContent = text;
}

function complain(error) {
  at('problem').textContent = error.message;
  at('problem').hidden = false;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- what people do

at('join').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  button.disabled = true;
  at('problem').hidden = true;
  try {
    if (!window.Shaveet) throw new Error('shaveet.js could not be loaded: is Shaveet running?');
    await join(at('name').value);
    at('join').hidden = true;
    at('room').hidden = false;
    at('text').focus();
  } catch (error) {
    show('idle', 'not joined');
    complain(error);
  }
  button.disabled = false;
});

let said = Promise.resolve();

at('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = at('text');
  const text = field.value;
  at('problem').hidden = true;
  field.value = '';
  // One after the other: requests side by side may overtake each other.
  const saying = said.then(() => post('say', { client_id: me.client_id, token: me.token, text }));
  said = saying.catch(() => {});
  try {
    await saying;
  } catch (error) {
    if (field.value === '') field.value = text; // nothing is lost
    complain(error);
  }
});

// Tell the others at once; without it, Shaveet notices a minute later.
addEventListener('pagehide', () => {
  if (me) navigator.sendBeacon('leave', JSON.stringify({ client_id: me.client_id, token: me.token }));
});
addEventListener('offline', () => me && show('lost', 'offline'));
addEventListener('online', () => me && show('live', 'connected'));

// The page's address may ask for JSONP, to try what browsers behind odd proxies get.
if (window.Shaveet && new URLSearchParams(location.search).has('disableCORS')) Shaveet.jsonp = true;

window.Shaveet?.onGone((id) => {
  if (me && id === me.client_id) rejoin();
});
