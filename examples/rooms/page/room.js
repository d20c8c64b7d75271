// A room: what was said, who is here, and the other rooms we are in.
import { ask, at, complain, element, here, link, parts, random, relieve } from './common.js';
import { poll } from './poll.js';

const [uid, room] = parts;
const PREFIX = 'rooms:'; // of channels and clients
const KEPT = 500; // lines

let me = '';
const position = { cursor: '', rooms: [room] };
const seen = new Set(); // positions of the messages that are shown
let members = new Set(); // ids of clients
let crowd = 0; // how many, where they are too many to be told one by one
const unread = new Map(); // room: number

at('name').textContent = room;
at('me').textContent = uid;
document.title = `${room} – Rooms`;

// ---- what comes

/** Comes in, or makes sure that we are, and asks what there is to see. */
async function look() {
  const answer = await here();
  me = answer.client;
  position.rooms = answer.in;
  for (const name of answer.rooms) if (!unread.has(name)) unread.set(name, 0);
  members = new Set(answer.here);
  crowd = answer.count;
  return answer;
}

async function enter() {
  const { messages, cursor } = await look();
  position.cursor = cursor; // the end of what we show now
  messages.forEach(says);
  list();
}

/** What a poll brought: signals first, then messages, then the cursor. */
async function hear({ cursor, signals, messages }) {
  const is = (type) => signals.some((signal) => signal.type === type);
  const here = messages.filter(({ channel }) => channel === PREFIX + room);
  // Shaveet was restarted, and knows of us since our poll: what was said before that is in the past.
  if (is('reset')) {
    const { messages: past, more } = await look();
    if (more) notice('Something that was said here is missing.');
    here.push(...past);
    here.sort((a, b) => numberOf(a) - numberOf(b));
  } else if (signals.some(({ resync, channel }) => resync && channel === PREFIX + room)) {
    await look();
  }
  for (const signal of signals) heed(signal);
  here.forEach(says);
  for (const { channel } of messages) {
    const name = nameOf(channel);
    if (ours(channel) && name !== room) unread.set(name, (unread.get(name) ?? 0) + 1);
  }
  position.cursor = cursor ?? position.cursor;
  list();
}

function heed(signal) {
  if (signal.type === 'presence' && signal.channel === PREFIX + room) comesOrGoes(signal);
  if (signal.type === 'gap' && signal.channel === PREFIX + room) notice('Something that was said here is missing.');
  // Another tab of ours may have gone to another room.
  if (signal.type === 'channels') position.rooms = [...new Set([room, ...Object.keys(signal.channels).filter(ours).map(nameOf)])];
}

const numberOf = ({ pos }) => Number(pos.split('.')[1]);
const ours = (name) => name.startsWith(PREFIX);
const nameOf = (name) => (ours(name) ? name.slice(PREFIX.length).split(':')[0] : name);

function comesOrGoes({ joined, left, count }) {
  if (joined && !members.has(joined)) {
    members.add(joined);
    if (joined !== me) notice(`${nameOf(joined)} joined`);
  }
  if (left && members.delete(left)) notice(`${nameOf(left)} left`);
  crowd = count ?? members.size;
}

// ---- what is seen

function says({ pos, sender, data, time }) {
  if (seen.has(pos)) return;
  seen.add(pos);
  if (seen.size > 2 * KEPT) seen.delete(seen.values().next().value);
  const said = typeof data === 'string' ? data : JSON.stringify(data);
  const known = typeof sender === 'string' && said.startsWith(`${sender}: `);
  const line = element('li', known && sender === uid ? 'mine' : '', '');
  if (known) line.append(element('bdi', 'who', sender), ': ');
  line.append(element('bdi', 'text', known ? said.slice(sender.length + 2) : said));
  const stamp = element('time', '', new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  stamp.dateTime = new Date(time).toISOString();
  line.append(stamp);
  addLine(line);
}

const notice = (text) => addLine(element('li', 'notice', text));

let atEnd = true; // do not pull away who reads further up

function addLine(line) {
  at('log').append(line);
  while (at('log').childElementCount > KEPT) at('log').firstElementChild.remove();
  stay();
}

let shape = ''; // of the log, when it was last put into place
const shapeOf = ({ clientWidth, clientHeight }) => `${clientWidth} ${clientHeight}`;

function stay() {
  shape = shapeOf(at('log'));
  if (atEnd) at('log').scrollTop = at('log').scrollHeight;
}

at('log').addEventListener('scroll', ({ target }) => {
  if (shapeOf(target) !== shape) return; // nobody has scrolled: it is another size now
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
});
new ResizeObserver(stay).observe(at('log')); // a phone's keyboard comes, or a complaint

function list() {
  listMembers();
  listRooms();
}

function listMembers() {
  const order = [...members].sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  at('members').replaceChildren(
    ...order.map((id) => {
      const line = element('li', id === me ? 'me' : '', '');
      line.append(element('bdi', '', nameOf(id)));
      return line;
    }),
  );
  at('count').textContent = `(${Math.max(crowd, members.size)})`;
}

function listRooms() {
  at('rooms').replaceChildren(
    ...[...unread].map(([name, news]) => {
      const door = element('a', '', '');
      door.href = `../${link(name, uid)}`;
      door.append(element('bdi', '', name));
      if (name === room) door.setAttribute('aria-current', 'page');
      else if (news) door.append(' ', element('span', 'news', news > 99 ? '99+' : `${news}`), element('span', 'unseen', ' new'));
      else if (position.rooms.includes(name)) door.append(' ', element('span', 'quiet', 'joined'));
      const line = element('li', '', '');
      line.append(door);
      return line;
    }),
  );
}

function show(state, why) {
  if (state === 'connected') relieve();
  const text = why ? `${state} (${why})` : state;
  const chip = at('state');
  if (chip.textContent === text) return; // screen readers hear changes only
  chip.dataset.state = state;
  chip.textContent = text;
}

// ---- what people say

let said = Promise.resolve();
let unsure = { text: '', id: '' }; // perhaps it was said, and only the answer was lost

async function put(text) {
  const id = unsure.text === text ? unsure.id : random();
  unsure = { text, id };
  await ask(`../${link('put', room, uid)}`, { method: 'POST', body: new URLSearchParams({ message: text, id }) });
  unsure = { text: '', id: '' };
}

at('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = at('text');
  const text = field.value.trim();
  if (!text) return;
  field.value = '';
  complain(null);
  // One after the other: requests side by side may overtake each other.
  const saying = said.then(() => put(text));
  said = saying.catch(() => {});
  try {
    await saying;
  } catch (error) {
    if (field.value === '') field.value = text; // nothing is lost
    complain(error);
  }
});

// ---- the life of the page

async function live() {
  for (let failures = 0; ; ) {
    try {
      await enter();
      break;
    } catch (error) {
      if (error.status && error.status < 500) throw error;
      show('waiting', error.message);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(1000 * 2 ** failures++, 8000)));
    }
  }
  show('connected');
  at('text').focus();
  await poll(`../${link('poll', uid)}`, position, hear, show);
}

live().catch((error) => {
  show('closed');
  complain(error);
  at('say').querySelector('button').disabled = true;
});
