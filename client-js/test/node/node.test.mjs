// The module in programs of Node, with the real program.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from 'shaveet';
import { listen, until } from '../browser/browser.mjs';
import { PATIENCE, Program } from '../browser/real.mjs';

/** What this Node has, and by which flag it gets it if it has not. */
const FLAGS = {
  websocket: ['WebSocket', '--experimental-websocket'],
  sse: ['EventSource', '--experimental-eventsource'],
  stream: ['fetch'],
  longpoll: ['fetch'],
};

/** Starts the program, and what tells its readers their keys. */
async function start(t, ...flags) {
  const program = await Program.start('serve', ...flags);
  t.after(() => program.end());
  const backend = await listen(async (_, response) => {
    const key = await program.call('create_client', 'alice').catch(() => '');
    if (key) await program.call('subscribe', 'alice', 'room');
    response.end(key);
  });
  t.after(() => backend.close());
  return { program, keys: backend.origin };
}

/** Starts a reader; `lines` are what it has printed. */
function read(t, { program, keys }, options, ...flags) {
  const all = { url: program.public, clientId: 'alice', keys, ...options };
  const file = fileURLToPath(new URL('reader.mjs', import.meta.url));
  const child = spawn(process.execPath, ['--no-warnings', ...flags, file, JSON.stringify(all)], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const reader = { child, lines: [], ended: new Promise((resolve) => child.once('close', resolve)) };
  let begun = '';
  child.stdout.setEncoding('utf8').on('data', (piece) => {
    const lines = (begun + piece).split('\n');
    begun = lines.pop();
    reader.lines.push(...lines.map((line) => JSON.parse(line)));
  });
  return reader;
}

const told = ({ lines }, what) => lines.filter(([name]) => name === what).map(([, value]) => value);
const eventually = (condition, what) => until(condition, PATIENCE, what);
const connected = (reader, times, transport) =>
  eventually(() => {
    const list = told(reader, 'connected');
    if (list.length >= times && transport) assert.equal(list[times - 1], transport);
    return list.length >= times;
  }, `connected for the ${times}. time`);
const hears = async (reader, expected) => {
  await eventually(() => told(reader, 'message').length >= expected.length, `hears ${expected}`);
  assert.deepEqual(told(reader, 'message'), expected);
};

describe('a program of Node', { concurrency: true }, () => {
  for (const [transport, [name, flag]] of Object.entries(FLAGS)) {
    const flags = name in globalThis ? [] : [flag];
    const missing = flags.length > 0 && !process.allowedNodeEnvironmentFlags.has(flag);
    test(`reads by ${transport}, goes on when the server was away, and ends when it has closed`, { skip: missing }, async (t) => {
      const site = await start(t, '--drain-delay', '50ms', '--retry-time', '100ms');
      // An EventSource cannot tell that the client is gone; and one that says "refused" has us ask for another key.
      const transports = transport === 'sse' ? ['sse', 'longpoll'] : [transport];
      const reader = read(t, site, { transports }, ...flags);
      await connected(reader, 1, transport);
      for (const text of ['ä', 'b']) await site.program.publish('room', text);
      await hears(reader, ['ä', 'b']);

      await site.program.end('SIGTERM');
      await eventually(() => told(reader, 'waiting').length > 0, 'it has noticed');
      assert.equal(told(reader, 'waiting')[0], 'drain');
      await site.program.start();
      await connected(reader, 2, transport);
      await site.program.publish('room', 'c');
      await hears(reader, ['ä', 'b', 'c']);
      assert.deepEqual(told(reader, 'gap'), ['reset']);
      if (transport !== 'sse') assert.deepEqual(told(reader, 'gone'), ['alice']);

      assert.equal(reader.child.exitCode, null, 'a connection keeps its program alive');
      reader.child.stdin.end();
      assert.equal(await reader.ended, 0);
      assert.deepEqual(reader.lines.at(-1), ['closed', 'closed']);
    });
  }

  test('hears events, and volatile ones while it listens', async (t) => {
    const site = await start(t);
    const reader = read(t, site, {});
    await connected(reader, 1);
    await site.program.call('emit', 'typing', ['bob', { since: 3 }], 'room');
    await hears(reader, [{ event: 'typing', args: ['bob', { since: 3 }] }]);
    const moved = { event: 'moved', args: [7], volatile: true };
    const emit = () => site.program.call('emit', 'moved', [7], ['room', 'client:alice'], null, '/', null, true);
    await until(async () => (await emit(), told(reader, 'message').length > 1), PATIENCE, 'hears a volatile event');
    await site.program.publish('room', 'last');
    await eventually(() => told(reader, 'message').at(-1) === 'last', 'hears the last');
    for (const message of told(reader, 'message').slice(1, -1)) assert.deepEqual(message, moved);
    assert.deepEqual(told(reader, 'gap'), []);
  });

  test('reads by the best that there is, and by no script tags', async (t) => {
    const site = await start(t);
    const reader = read(t, site, {});
    await connected(reader, 1, 'stream');
    const options = { url: 'http://127.0.0.1:1', clientId: 'a', key: 'k' };
    assert.throws(() => connect({ ...options, jsonp: true }), /none of the transports/);
    assert.throws(() => connect({ ...options, url: undefined }), /^Error: url is not set/);
  });

  test('does nothing by being loaded, and can end while it waits', async () => {
    const text = `
      const { connect } = await import('shaveet');
      const c = connect({ url: 'http://127.0.0.1:1', clientId: 'a', key: 'k', resume: true });
      c.onState((state) => state.name === 'waiting' && c.close());`;
    const cwd = fileURLToPath(new URL('.', import.meta.url));
    const child = spawn(process.execPath, ['--input-type=module', '-e', text], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (output += piece));
    assert.equal(await new Promise((resolve) => child.once('close', resolve)), 0);
    assert.equal(output, '');
  });
});
