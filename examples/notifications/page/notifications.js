// The page of the notifications example. What happens comes live from Shaveet;
// what has happened is known to the page's own back end, which is asked for the
// list when the page opens, and again whenever Shaveet says that something may
// have been missed. What people wrote goes into the page as textContent and
// never as HTML.
'use strict';

const SHOWN = 100; // as many as the back end sends
const at = (id) => document.getElementById(id);

// Where others are beside us, whoever shows them gives each cookies of their own.
if (parent !== self) at('whom').textContent = 'To have whom to notify, log in as somebody else beside.';

let connection = null;
let items = new Map(); // number: notification
let read = 0; // up to this number we have read all
let unread = 0; // as the back end counted, and what came since

// ---- the back end

/** GET, or POST if there is a body. The cookie goes with it. */
async function ask(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(path, body && { method: 'POST', headers, body: JSON.stringify(body) });
  if (response.ok) return response.status === 204 ? null : response.json();
  if (response.status === 401 && connection) location.reload(); // logged out elsewhere: begin anew
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error || `the server answered ${response.status}`), { status: response.status });
}

let loading = null;
let stale = false;

/** Asks for the list. Who calls it while one is on its way gets another one after it. */
function load() {
  stale = true;
  loading ??= (async () => {
    try {
      while (stale) {
        stale = false;
        take(await ask('notifications'));
      }
    } catch (error) {
      complain(error);
      if (connection) setTimeout(load, 5000 * (1 + Math.random()));
    } finally {
      loading = null;
    }
  })();
  return loading;
}

/** The list is the truth, but some may have come live while it was on its way. */
function take(answer) {
  const last = Math.max(0, ...answer.notifications.map((item) => item.number));
  const later = [...items.values()].filter((item) => item.number > last);
  items = new Map([...answer.notifications, ...later].map((item) => [item.number, item]));
  unread = read > answer.read ? newerThan(read) : answer.unread + later.length;
  read = Math.max(read, answer.read);
  at('me').textContent = answer.name;
  at('people').replaceChildren(...answer.people.map((name) => Object.assign(document.createElement('option'), { value: name })));
  at('problem').hidden = true;
  show();
}

const newerThan = (number) => [...items.keys()].filter((key) => key > number).length;

// ---- Shaveet

async function enter() {
  let credentials = await ask('credentials', {});
  if (!window.Shaveet) throw new Error('shaveet.js could not be loaded. Is Shaveet running? Then reload this page.');
  const { url, clientId, channels, cursor } = credentials;
  connection = Shaveet.connect({
    url,
    clientId,
    // A function: Shaveet may have been restarted, or the key changed. Then the
    // library asks for another, and the back end sets all up again.
    async key() {
      const { key } = credentials ?? (await ask('credentials', {}));
      credentials = null; // good for once; who asks again was refused
      return key;
    },
    // After a reload the tab goes on where it was. On its first visit it begins
    // where the back end has subscribed us: what is older is in the list.
    resume: true,
    cursor: sessionStorage.getItem('visited') === clientId ? undefined : cursor,
  });
  sessionStorage.setItem('visited', clientId);
  for (const channel of channels) connection.on(channel, hear);
  connection.onGap(load);
  connection.onState(showState);
  showState(connection.state);
  for (const id of ['inside', 'bell']) at(id).hidden = false;
  at('login').hidden = true;
  await load(); // after the subscribing, so nothing falls between the two
}

function hear({ data }) {
  if (data.type === 'read') return haveRead(data); // in another tab
  if (items.has(data.number)) return; // it was in the list
  items.set(data.number, data);
  if (data.number > read) unread++;
  at('news').textContent = `${data.from}: ${data.text}`;
  show();
}

function haveRead({ number }) {
  if (number <= read) return;
  read = number;
  unread = newerThan(read);
  show();
}

function showState(state) {
  const { name, until, why } = state;
  const chip = at('state');
  chip.dataset.state = name;
  chip.textContent = name === 'waiting' ? `waiting (${why}), next try ${Number.isFinite(until) ? clock(until) : 'later'}` : name;
}

// ---- what is seen

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

const clock = (ms, options) => new Date(ms).toLocaleTimeString([], options);

function show() {
  const newest = [...items.values()].sort((a, b) => b.number - a.number).slice(0, SHOWN);
  items = new Map(newest.map((item) => [item.number, item]));
  at('list').replaceChildren(
    ...newest.map((item) => {
      const line = element('li', item.number > read ? 'new' : '', '');
      const head = element('p', 'head', '');
      head.append(
        element('bdi', 'who', item.from),
        element('span', 'tag', item.everyone ? 'to everybody' : ''),
        element('time', '', clock(item.time, { hour: '2-digit', minute: '2-digit' })),
      );
      line.append(head, element('p', 'text', item.text));
      return line;
    }),
  );
  at('none').hidden = newest.length > 0;
  at('unread').textContent = unread > 99 ? '99+' : unread;
  at('unread').hidden = unread === 0;
  at('bell').title = unread ? 'Mark all as read' : 'Nothing unread';
  at('bell').setAttribute('aria-label', `${unread} unread. Mark all as read`);
  document.title = (unread ? `(${unread}) ` : '') + 'Notifications – a Shaveet example';
}

function complain(error) {
  at('problem').textContent = error.message;
  at('problem').hidden = false;
}

// ---- what people do

/** Runs `task` when the form is sent, with its button off meanwhile. */
function onSubmit(id, task) {
  at(id).addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = at(id).querySelector('button');
    button.disabled = true;
    at('problem').hidden = true;
    await task().catch(complain);
    button.disabled = false;
  });
}

onSubmit('login', async () => {
  await ask('login', { name: at('name').value });
  await enter();
});

onSubmit('notify', async () => {
  at('outcome').textContent = '';
  const everyone = at('everyone').checked;
  const { live } = await ask('notify', { to: everyone ? '' : at('to').value, everyone, text: at('text').value });
  at('outcome').textContent = live ? 'Sent.' : 'Saved. It will arrive when the push server is back.';
  at('text').value = '';
  at('text').focus();
});

at('everyone').addEventListener('change', () => {
  at('to').disabled = at('everyone').checked;
});
at('to').addEventListener('focus', load); // who may have come since

at('bell').addEventListener('click', () => {
  const number = Math.max(0, ...items.keys());
  if (number <= read) return;
  ask('read', { number }).then(haveRead, complain); // our other tabs hear it from Shaveet
});

at('logout').addEventListener('click', async () => {
  connection.close(); // our key will be void in a moment, which is no news to us
  await ask('logout', {}).catch(() => {});
  location.reload();
});

enter().catch((error) => {
  if (error.status !== 401) return complain(error);
  at('login').hidden = false;
  at('name').focus();
});
