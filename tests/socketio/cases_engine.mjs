// What a server of Engine.IO is to do. What is echoed is asked only of a door that
// echoes.

import assert from 'node:assert/strict';
import { pause } from './wire.mjs';

/** What the server under test is set to. */
export const INTERVAL = 300;
export const TIMEOUT = 200;
export const MAX = 1_000_000;

const KEYS = ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades'];

/** What a session is told at first. */
function checkBegun(begun, upgrades, eio) {
  if (eio === 4) assert.deepEqual(Object.keys(begun).sort(), KEYS);
  assert.equal(typeof begun.sid, 'string');
  assert.ok(begun.sid.length >= 20, 'a sid is too long to be guessed');
  assert.deepEqual(begun.upgrades, upgrades);
  assert.deepEqual([begun.pingInterval, begun.pingTimeout], [INTERVAL, TIMEOUT]);
  if (eio === 4) assert.equal(begun.maxPayload, MAX);
}

/** That a session has ended, for all who ask. */
export async function isGone(session) {
  const { status, text } = await session.get();
  assert.equal(status, 400);
  assert.equal(JSON.parse(text).code, 1);
}

const handshakes = (door) => {
  const EIO = door.eio;
  const cases = [
    [
      'a poll begins a session',
      async () => {
        const { begun, first } = await door.poll(EIO === 3 ? { b64: 1 } : {});
        checkBegun(begun, ['websocket'], EIO);
        assert.ok(first.startsWith(EIO === 3 ? `${first.length - first.indexOf(':') - 1}:0{` : '0{'), first);
      },
    ],
    [
      'a WebSocket begins a session',
      async () => {
        const socket = await door.socket();
        assert.equal(socket.begun[0], '0');
        checkBegun(JSON.parse(socket.begun.slice(1)), [], EIO);
        socket.close();
      },
    ],
  ];
  const refusals = [
    ['no protocol', { transport: 'polling' }, 5],
    ['a protocol that is none', { EIO: 'abc', transport: 'polling' }, 5],
    ['no transport', { EIO }, 0],
    ['an unknown transport', { EIO, transport: 'abc' }, 0],
  ];
  for (const [what, query, code] of refusals) {
    // A stock server that takes protocol 3 takes for it whatever is not 4.
    if (EIO === 3 && code === 5) continue;
    cases.push([
      `a handshake with ${what} is refused`,
      async () => {
        const { status, text } = await door.request(query);
        assert.equal(status, 400);
        assert.equal(JSON.parse(text).code, code);
        if (query.transport !== undefined && code === 0) return;
        await door.dial({ ...query, ...(query.transport && { transport: 'websocket' }) }).end();
      },
    ]);
  }
  for (const method of ['POST', 'PUT']) {
    cases.push([
      `a handshake by ${method} is refused`,
      async () => {
        const { status, text } = await door.request({ EIO, transport: 'polling' }, { method });
        assert.equal(status, 400);
        assert.equal(JSON.parse(text).code, 2);
      },
    ]);
  }
  return cases;
};

const heartbeats = (door) => [
  [
    'a poll is pinged, and lives as long as it answers',
    async () => {
      const session = await door.poll();
      for (let i = 0; i < 3; i++) {
        assert.deepEqual(await statusAndText(session.get()), [200, '2']);
        assert.deepEqual(await statusAndText(session.post('3')), [200, 'ok']);
      }
    },
  ],
  [
    'a poll that answers no ping is given up',
    async () => {
      const session = await door.poll();
      await pause(INTERVAL + TIMEOUT + door.slack);
      await isGone(session);
    },
  ],
  [
    'a WebSocket is pinged, and lives as long as it answers',
    async () => {
      const socket = await door.socket();
      for (let i = 0; i < 3; i++) {
        assert.equal(await socket.text(), '2');
        socket.send('3');
      }
      socket.close();
    },
  ],
  [
    'a WebSocket that answers no ping is closed',
    async () => {
      const socket = await door.socket();
      const begun = performance.now();
      await socket.end();
      const took = performance.now() - begun;
      assert.ok(took > INTERVAL + TIMEOUT - 50 && took < INTERVAL + TIMEOUT + 1_500, `it took ${took} ms`);
    },
  ],
];

// In protocol 3 it is the client that pings.
const heartbeats3 = (door) => [
  [
    'the pings of a poll are answered',
    async () => {
      const session = await door.poll({ b64: 1 });
      for (let i = 0; i < 3; i++) {
        assert.deepEqual(await statusAndText(session.post('2')), [200, 'ok']);
        assert.deepEqual(await statusAndText(session.get()), [200, '1:3']);
      }
    },
  ],
  [
    'a poll that does not ping is given up',
    async () => {
      const session = await door.poll({ b64: 1 });
      await pause(INTERVAL + TIMEOUT + door.slack);
      assert.equal((await session.post('2')).status, 400);
    },
  ],
  [
    'the pings of a WebSocket are answered',
    async () => {
      const socket = await door.socket();
      for (let i = 0; i < 3; i++) {
        socket.send('2');
        assert.equal(await socket.text(), '3');
      }
      socket.close();
    },
  ],
  ['a WebSocket that does not ping is closed', async () => (await door.socket()).end()],
];

export const statusAndText = async (answer) => {
  const { status, text } = await answer;
  return [status, text];
};

const closes = (door) => [
  [
    'a poll that closes is let go with a no-op',
    async () => {
      const session = await door.poll(door.eio === 3 ? { b64: 1 } : {});
      const poll = session.get();
      await pause(20);
      await session.post('1');
      const polled = await statusAndText(poll);
      assert.deepEqual(polled, [200, session.payload('6')]);
      await isGone(session);
    },
  ],
  [
    'a WebSocket that closes is closed',
    async () => {
      const socket = await door.socket();
      socket.send('1');
      await socket.end();
    },
  ],
];

const upgrades = (door, echoes) => [
  [
    'a poll becomes a WebSocket',
    async () => {
      const session = await door.poll(door.eio === 3 ? { b64: 1 } : {});
      const socket = session.dial();
      await socket.opened;
      socket.send('2probe');
      assert.equal(await socket.text(), '3probe');
      assert.deepEqual(await statusAndText(session.get()), [200, session.payload('6')]);
      socket.send('5');
      if (!echoes) return socket.close();
      socket.send('4hello');
      assert.equal(await socket.news(), '4hello');
      socket.close();
    },
  ],
  // The poll may be there before the 5, and must not be answered too early then.
  ...[true, false].map((waits) => [
    `after it is a WebSocket it is polled no more, ${waits ? 'by who waited' : 'by who did not wait'} for the probe`,
    async () => {
      const session = await door.poll();
      const socket = session.dial();
      await socket.opened;
      socket.send('2probe');
      if (waits) assert.equal(await socket.text(), '3probe');
      socket.send('5');
      assert.equal((await session.get()).status, 400);
      if (!waits) assert.equal(await socket.text(), '3probe');
      if (!echoes) return socket.close();
      socket.send('4hello');
      assert.equal(await socket.news(), '4hello');
      socket.close();
    },
  ]),
  [
    'after it is a WebSocket there is no second one',
    async () => {
      const session = await door.poll();
      const socket = session.dial();
      await socket.opened;
      socket.send('2probe', '5');
      assert.equal(await socket.text(), '3probe');
      await session.dial().end();
      if (!echoes) return socket.close();
      socket.send('4hello');
      assert.equal(await socket.news(), '4hello');
      socket.close();
    },
  ],
];

const BYTES = Buffer.from([1, 2, 3, 4]);

const messages = (door) => {
  const more = door.eio === 3 ? { b64: 1 } : {};
  const binary = door.eio === 3 ? 'b4AQIDBA==' : 'bAQIDBA==';
  const payloads = [
    ['a text', ['4hello']],
    ['several texts', ['4test1', '4test2', '4test3']],
    ['text and bytes', ['4hello', binary]],
    ['what is not ASCII', ['4é€😀', '4\u2028\\n"']],
    ['nothing', ['4']],
  ];
  const garbage = ['abc', '8', ...(door.eio === 4 ? ['', '4a\x1e'] : ['2:4', ':', '-1:4'])];
  return [
    ...payloads.map(([what, packets]) => [
      `a payload of ${what} is echoed`,
      async () => {
        const session = await door.poll(more);
        assert.deepEqual(await statusAndText(session.post(...packets)), [200, 'ok']);
        let got = '';
        for (const all = session.payload(...packets); got.length < all.length; ) {
          const { status, text } = await session.get();
          assert.equal(status, 200);
          got += (got && door.eio === 4 ? '\x1e' : '') + text;
          assert.equal(got, all.slice(0, got.length));
        }
      },
    ]),
    ...garbage.map((body) => [
      `a poll that posts ${JSON.stringify(body)} is closed`,
      async () => {
        const session = await door.poll();
        // What the post itself is answered, or whether it is cut off, is left open.
        await door.request(session.query, { method: 'POST', body }).catch(() => {});
        await isGone(session);
      },
    ]),
    [
      'two polls at once end the session',
      async () => {
        const session = await door.poll(more);
        const both = await Promise.all([session.get(), session.get()]); // either may come first
        const held = both.filter(({ status, text }) => status === 200 && text === session.payload('1'));
        assert.equal(held.length, 1, JSON.stringify(both));
        assert.ok(both.some(({ status }) => [400, 500].includes(status)), JSON.stringify(both));
        await isGone(session);
      },
    ],
    [
      'a poll that is broken off ends the session',
      async () => {
        const session = await door.poll();
        const controller = new AbortController();
        const poll = session.get({ signal: controller.signal }).catch(() => {});
        await pause(100); // it has to be there before it goes
        controller.abort();
        await poll;
        await pause(60);
        await isGone(session);
      },
    ],
    [
      'a text is echoed by a WebSocket',
      async () => {
        const socket = await door.socket();
        socket.send('4hello', '4é€😀');
        assert.deepEqual([await socket.text(), await socket.text()], ['4hello', '4é€😀']);
        socket.close();
      },
    ],
    [
      'bytes are echoed by a WebSocket',
      async () => {
        const socket = await door.socket();
        const sent = door.eio === 3 ? Buffer.concat([Buffer.from([4]), BYTES]) : BYTES;
        socket.send(sent);
        assert.deepEqual(await socket.next(), sent);
        socket.close();
      },
    ],
    [
      'a WebSocket that sends garbage is closed',
      async () => {
        const socket = await door.socket();
        socket.send('abc');
        await socket.end();
      },
    ],
  ];
};

/** All cases of a door. */
export const engineCases = (door, echoes) => [
  ...handshakes(door),
  ...(echoes ? messages(door) : []),
  ...(door.eio === 3 ? heartbeats3 : heartbeats)(door),
  ...closes(door),
  ...upgrades(door, echoes),
];
