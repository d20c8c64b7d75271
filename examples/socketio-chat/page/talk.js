// A chat with the stock client of Socket.IO. What people wrote goes into the
// page as textContent and never as HTML.
'use strict';

const PATIENCE = 8000; // ms, for an answer
const KEPT = 500; // lines

const at = (id) => document.getElementById(id);
const socket = io(`${document.documentElement.dataset.shaveet}/chat`, { reconnectionDelayMax: 4000 });
let wanted = null; // {name, room}: who we are, or want to be
let inside = false; // and are

// ---- what is said to the server

/** Says an event; resolves with what it is answered. */
const ask = (event, ...args) =>
  new Promise((resolve, reject) => {
    // The client would keep it, and say it before we are back in.
    if (!socket.connected) throw new Error('There is no connection just now.');
    socket.timeout(PATIENCE).emit(event, ...args, (lost, ...answer) => {
      if (lost) reject(new Error('No answer has come.'));
      else if (answer[0]?.error) reject(new Error(answer[0].error.message));
      else resolve(answer);
    });
  });

/** Goes into the room, for the first time or after each connect: who comes back
 *  may have lost the name to somebody else. */
async function enter() {
  const { name, room } = wanted;
  const [joined] = await ask('join', room);
  if (joined !== true) throw refused('This cannot be the name of a room.');
  const [named] = await ask('nickname', name);
  if (named !== true) throw refused('This nickname is taken, or cannot be one.');
  if (!inside) notice(`Welcome to ${room}.`);
  inside = true;
  at('title').textContent = room;
  document.title = `${room} – Socket.IO chat`;
  at('me').textContent = name;
  complain(null);
  view();
}

const refused = (message) => Object.assign(new Error(message), { refused: true });

/** Enters, and says so if that cannot be. */
async function tryToEnter() {
  try {
    await enter();
  } catch (error) {
    if (error.refused) inside = false;
    complain(error);
    view();
  }
}

/** Is back in after a connect, also if nobody answers at first. */
async function comeBack() {
  const { id } = socket;
  while (inside && socket.id === id) {
    await tryToEnter();
    if (at('problem').hidden) return;
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

at('enter').addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = at('name').value.trim().normalize('NFC');
  const room = at('room').value.trim().normalize('NFC');
  if (!name || !room) return;
  wanted = { name, room };
  await tryToEnter();
  if (inside) at('text').focus();
});

at('leave').addEventListener('click', () => {
  inside = false;
  view();
  at('room').select();
});

at('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = at('text');
  const text = field.value.trim();
  if (!text) return;
  field.value = '';
  try {
    const [said] = await ask('user message', text);
    if (said !== true) throw new Error('This was not said.');
    complain(null);
    line(wanted.name, text, 'mine');
  } catch (error) {
    if (field.value === '') field.value = text; // nothing is lost
    complain(error);
  }
});

// ---- what comes

socket.on('announcement', (text) => notice(text));
socket.on('msg_to_room', (name, text) => line(name, text, ''));

let newest = 0; // number of the list that is shown

socket.on('nicknames', (list, number) => {
  // A back end that answers several at once numbers its lists: they may overtake each other.
  if (typeof number === 'number') {
    if (number < newest) return;
    newest = number;
  }
  const names = Object.values(list).map(String).sort((a, b) => a.localeCompare(b));
  at('people').replaceChildren(
    ...names.map((name) => {
      const row = element('li', name === wanted?.name ? 'me' : '', '');
      row.append(element('bdi', '', name));
      return row;
    }),
  );
  at('count').textContent = `(${names.length})`;
});

// ---- the connection

let lost = false;

socket.on('connect', () => {
  show('connected');
  complain(null);
  if (lost) notice(socket.recovered ? 'Reconnected; nothing was missed.' : 'Reconnected.');
  lost = false;
  comeBack();
});

socket.on('disconnect', (why) => {
  newest = 0;
  if (!lost) notice('The connection is lost.');
  lost = true;
  if (socket.active) show('reconnecting', why);
  else show('closed', why); // the server has sent us away
});

socket.on('connect_error', (error) => {
  if (!socket.active) show('closed', error.message);
  else show('error', error.message);
});

socket.io.on('reconnect_attempt', (attempt) => show('reconnecting', `attempt ${attempt}`));

function show(state, why) {
  const chip = at('state');
  chip.dataset.state = state;
  chip.title = why ?? '';
  if (chip.textContent !== state) chip.textContent = state; // screen readers hear changes only
}

// ---- what is seen

function view() {
  at('enter').hidden = inside;
  at('talk').hidden = at('as').hidden = !inside;
  document.body.classList.toggle('inside', inside);
  stay();
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function complain(error) {
  at('problem').textContent = error?.message ?? '';
  at('problem').hidden = !error;
}

function line(name, text, className) {
  const row = element('li', className, '');
  row.append(element('bdi', 'who', name), ': ', element('bdi', 'text', text));
  const now = new Date();
  const stamp = element('time', '', now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  stamp.dateTime = now.toISOString();
  row.append(stamp);
  add(row);
}

const notice = (text) => add(element('li', 'notice', text));

let atEnd = true; // do not pull away who reads further up
let shape = ''; // of the log, when it was last put into place
const shapeOf = ({ clientWidth, clientHeight }) => `${clientWidth} ${clientHeight}`;

function add(row) {
  at('log').append(row);
  while (at('log').childElementCount > KEPT) at('log').firstElementChild.remove();
  stay();
}

function stay() {
  shape = shapeOf(at('log'));
  if (atEnd) at('log').scrollTop = at('log').scrollHeight;
}

at('log').addEventListener('scroll', ({ target }) => {
  if (shapeOf(target) !== shape) return; // nobody has scrolled: it is another size now
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
});
new ResizeObserver(stay).observe(at('log')); // a phone's keyboard comes, or a complaint
