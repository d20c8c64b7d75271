// What a server of Engine.IO is to do beyond what the cases of its protocol ask
// for: what the stock clients and the stock server hold to.

import assert from 'node:assert/strict';
import { isGone, MAX, statusAndText } from './cases_engine.mjs';
import { pause } from './wire.mjs';

/** What so many packets are that come by polls, without pings: the session may have lived for long enough. */
async function news(session, count) {
  const told = [];
  while (told.length < count) {
    const { status, text } = await session.get();
    assert.equal(status, 200);
    told.push(...text.split('\x1e').filter((packet) => packet !== '2'));
  }
  return told;
}

export const moreCases = (door) => [
  [
    'a session that is not known is refused',
    async () => {
      for (const method of ['GET', 'POST']) {
        const { status, text, headers } = await door.request({ EIO: 4, transport: 'polling', sid: 'nobody' }, { method });
        assert.equal(status, 400);
        assert.deepEqual(JSON.parse(text), { code: 1, message: 'Session ID unknown' });
        assert.match(headers.get('content-type'), /^application\/json/);
      }
      await door.dial({ EIO: 4, transport: 'websocket', sid: 'nobody' }).end();
    },
  ],
  [
    'a WebSocket that is none is refused',
    async () => {
      const { status, text } = await door.request({ EIO: 4, transport: 'websocket' });
      assert.equal(status, 400);
      assert.equal(JSON.parse(text).code, 3);
    },
  ],
  [
    'a poll of a WebSocket is refused, and harms nobody',
    async () => {
      const socket = await door.socket();
      const { sid } = JSON.parse(socket.begun.slice(1));
      const { status, text } = await door.request({ EIO: 4, transport: 'polling', sid });
      assert.equal(status, 400);
      assert.equal(JSON.parse(text).code, 3);
      socket.send('4still here');
      assert.equal(await socket.news(), '4still here');
      socket.close();
    },
  ],
  [
    'answers to polls are plain text, and not stored',
    async () => {
      const session = await door.poll();
      await session.post('4hello');
      const { headers } = await session.get();
      assert.match(headers.get('content-type'), /^text\/plain; charset=utf-8$/i);
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.equal((await session.post('4hello')).headers.get('content-type'), 'text/html');
    },
  ],
  [
    'a body that is too large is refused, and harms nobody',
    async () => {
      const session = await door.poll();
      assert.equal((await session.post(`4${'a'.repeat(MAX)}`)).status, 413);
      const whole = `4${'a'.repeat(MAX - 1)}`;
      assert.deepEqual(await statusAndText(session.post(whole)), [200, 'ok']);
      const [status, text] = await statusAndText(session.get());
      assert.deepEqual([status, text.replace(/^2\x1e/, '')], [200, whole]); // a ping may have come before it
    },
  ],
  [
    'a message that is too large closes a WebSocket',
    async () => {
      const socket = await door.socket();
      const whole = `4${'a'.repeat(MAX - 1)}`;
      socket.send(whole);
      assert.equal(await socket.news(), whole);
      socket.send(`${whole}a`);
      await socket.end();
    },
  ],
  [
    'a body of bytes closes the session',
    async () => {
      const session = await door.poll();
      const headers = { 'Content-Type': 'application/octet-stream' };
      const { status } = await door.request(session.query, { method: 'POST', headers, body: '4hello' }).catch(() => ({ status: 400 }));
      assert.equal(status, 400);
      await isGone(session);
    },
  ],
  [
    'a ping of the client, which is for the server to send, closes it',
    async () => {
      const socket = await door.socket();
      socket.send('2');
      await socket.end(400); // sooner than for want of an answer
    },
  ],
  [
    'an upgrade that goes astray harms nobody',
    async () => {
      const session = await door.poll();
      for (const words of ['4hello', '2', 'abc', '']) {
        const socket = session.dial();
        await socket.opened;
        if (words) socket.send(words);
        else socket.close();
        await socket.end();
        await pause(20); // the server has to hear of it as well
      }
      await session.post('4still here');
      assert.deepEqual(await news(session, 1), ['4still here']);
    },
  ],
  [
    'while it upgrades it is told over polls',
    async () => {
      const session = await door.poll();
      const socket = session.dial();
      await socket.opened;
      socket.send('2probe');
      assert.equal(await socket.text(), '3probe');
      const told = [];
      await session.post('4one');
      while (!told.includes('4one')) told.push(...(await session.get()).text.split('\x1e'));
      await session.post('4two');
      socket.send('5');
      assert.equal(await socket.news(), '4two');
      socket.close();
    },
  ],
  [
    'polls are let go again and again while it upgrades',
    async () => {
      const session = await door.poll();
      const socket = session.dial();
      await socket.opened;
      socket.send('2probe');
      assert.equal(await socket.text(), '3probe');
      assert.deepEqual(await news(session, 2), ['6', '6']);
      socket.close();
    },
  ],
];
