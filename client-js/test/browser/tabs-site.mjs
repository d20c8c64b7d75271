// A site whose pages share one connection to the real program.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { MODULE, site, until } from './browser.mjs';
import { PATIENCE, Program } from './real.mjs';

/** From the sources, so that the test needs no build of its own. */
async function bundle() {
  const entry = fileURLToPath(new URL('../../src/tabs.ts', import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'esm', target: 'es2018', write: false });
  return outputFiles[0].text;
}

/**
 * What a page does. It notes what it hears where it finds it again when it is
 * loaded again, and all that was said between tabs.
 */
const page = (options) => `<!DOCTYPE html><title>tab</title>
  <style>body { font: 15px system-ui; margin: 1em } b { color: #06c }</style><h3 id="state">…</h3><div id="heard"></div>
  <script type="module">
    import { connect } from '/shaveet.mjs';
    import { share } from '/tabs.mjs';
    const kept = sessionStorage.noted;
    window.noted = kept ? JSON.parse(kept) : [];
    window.own = 0;
    window.posts = [];
    const Channel = BroadcastChannel;
    const post = Channel.prototype.postMessage;
    Channel.prototype.postMessage = function (value) { posts.push(JSON.stringify(value)); post.call(this, value); };
    function note(what, value) {
      noted.push([what, value, Date.now()]);
      sessionStorage.noted = JSON.stringify(noted);
      state.innerHTML = '<b>' + (window.c ? c.state.name + '</b> by ' + c.transport + ', own connections so far: ' + own : '</b>');
      if (what === 'message') heard.textContent += value.data + ' ';
    }
    const key = () => fetch('/key').then((r) => { if (!r.ok) throw Error('no key'); return r.text(); });
    const counted = (options) => (own++, connect(options));
    window.c = share(counted, ${options});
    c.on('*', (m) => note('message', m));
    c.onGap((gap) => note('gap', gap));
    c.onPresence((presence) => note('presence', presence));
    c.onGone((id) => note('gone', id));
    c.onState((state) => note('state', state));
  </script>`;

/** Starts the program and the site; \`options\` are those of the pages, as a script. */
export async function start(t, options, ...flags) {
  const program = await Program.start('serve', ...flags);
  t.after(() => program.end());
  const key = await program.call('create_client', 'alice');
  await program.call('subscribe', 'alice', 'room');
  const files = {
    '/': page(options.replace('URL', `'${program.public}'`).replace('KEY', `'${key}'`)),
    '/key': key,
    '/both': '<!DOCTYPE html><style>iframe { width: 48%; height: 300px }</style><iframe src="/"></iframe> <iframe src="/"></iframe>',
    '/shaveet.mjs': MODULE,
    '/tabs.mjs': await bundle(),
  };
  const served = await site(files);
  t.after(() => served.close());
  let said = 0;
  return {
    program,
    key,
    /** Served by path. */
    files,
    origin: served.origin,
    /** Says the next numbers. */
    async say(count, pause = 0) {
      for (let i = 0; i < count; i++) {
        await program.publish('room', ++said);
        if (pause) await new Promise((resolve) => setTimeout(resolve, pause));
      }
      return said;
    },
  };
}

export async function open(context, origin) {
  const tab = await context.newPage();
  tab.errors = [];
  tab.on('pageerror', (error) => tab.errors.push(String(error)));
  await tab.goto(origin);
  return tab;
}

export const eventually = (condition, what) => until(condition, PATIENCE, what);
export const connected = (tab) => eventually(() => tab.evaluate(() => window.c?.state.name === 'connected'), 'connected');

/** What the page has noted under a name, in order. */
export async function notes(tab, what) {
  const all = await tab.evaluate(() => noted);
  return all.filter(([name]) => name === what).map(([, value]) => value);
}

export const numbers = async (tab) => (await notes(tab, 'message')).map((message) => message.data);
