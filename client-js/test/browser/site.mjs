// A site whose pages connect to the real program, and what they have heard.

import assert from 'node:assert/strict';
import { listen, newPage, until } from './browser.mjs';
import { PATIENCE, Program } from './real.mjs';

export const eventually = (condition, what) => until(condition, PATIENCE, what);

/** Starts the program and a site whose pages connect to it. */
export async function start(t, ...flags) {
  const program = await Program.start('serve', ...flags);
  t.after(() => program.end());
  const site = { program, keys: 0 };

  /** What the backend of the page does: makes the client if need be, and tells its key. */
  site.enter = async () => {
    site.keys++;
    const key = await program.call('create_client', 'alice');
    await program.call('subscribe', 'alice', 'room');
    return key;
  };

  /** What the page does. It notes what it hears where a reload finds it, and a copy of the page too. */
  site.script = '';
  const served = await listen(async ({ url }, response) => {
    if (url === '/key') return response.end(await site.enter().catch(() => ''));
    if (url !== '/') return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(`<!DOCTYPE html><script src="${program.public}/static/shaveet.js"></script><script>
      var noted = JSON.parse(sessionStorage.noted || '[]');
      function note(what, value) { noted.push([what, value]); sessionStorage.noted = JSON.stringify(noted); }
      function key() { return fetch('/key').then(function (r) { if (!r.ok) throw Error('no key'); return r.text(); }); }
      ${site.script}
      c.on('*', function (m) { note('message', m); });
      c.onGap(function (gap) { note('gap', gap); });
      c.onPresence(function (presence) { note('presence', presence); });
      c.onGone(function (id) { note('gone', id); });
      c.onState(function (state) { note('state', state); });
    </script>`);
  });
  t.after(() => served.close());
  site.origin = served.origin;
  return site;
}

/** Opens a page that connects with these options, and waits until it stands. `tab.requests` are those to the program, also through a proxy. */
export async function visit(t, browser, site, options) {
  const url = site.proxy ? `url: '${site.proxy.origin}', ` : '';
  site.script = `var c = Shaveet.connect({ ${url}${options} });`;
  const tab = await newPage(browser, 'about:blank');
  t.after(() => tab.context().close());
  tab.requests = [];
  const ours = [site.program.public, site.proxy?.origin].filter(Boolean);
  tab.on('request', (request) => ours.some((origin) => request.url().startsWith(origin)) && tab.requests.push(request));
  tab.on('websocket', (socket) =>
    tab.requests.push({ url: () => socket.url().replace(/^ws/, 'http'), resourceType: () => 'websocket' }),
  );
  await tab.goto(`${site.origin}/`);
  await connected(tab);
  return tab;
}

export const connected = (tab) => eventually(() => tab.evaluate(() => c.state.name === 'connected'), 'connected');

/** What the page has noted under a name, in order. */
export const notes = async (tab, what) => {
  const all = await tab.evaluate(() => noted);
  return all.filter(([name]) => name === what).map(([, value]) => value);
};
export const texts = async (tab) => (await notes(tab, 'message')).map((message) => message.data);
export const hears = async (tab, expected) => {
  await eventually(async () => (await texts(tab)).length >= expected.length, `${expected.length} messages`);
  assert.deepEqual(await texts(tab), expected);
};
export const numbered = (count, from = 1) => Array.from({ length: count }, (_, i) => from + i);

export async function publish(program, values) {
  for (const value of values) await program.publish('room', value);
}
