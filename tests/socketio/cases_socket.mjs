// What a server of Socket.IO is to do, with the echoes of the conformance server.

import assert from 'node:assert/strict';

const BYTES = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
const PLACES = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

/** Joins a namespace, and reads what is said then. */
async function join(socket, name = '/', auth = undefined) {
  const prefix = name === '/' ? '' : `${name},`;
  socket.send(`40${prefix}${auth === undefined ? '' : JSON.stringify(auth)}`);
  const connected = await socket.news();
  assert.ok(connected.startsWith(`40${prefix}{`), connected);
  const answer = JSON.parse(connected.slice(2 + prefix.length));
  assert.deepEqual(Object.keys(answer), ['sid']);
  assert.equal(typeof answer.sid, 'string');
  assert.equal(await socket.news(), `42${prefix}${JSON.stringify(['auth', auth ?? {}])}`);
  return answer.sid;
}

async function joined(door) {
  const socket = await door.socket();
  await join(socket);
  return socket;
}

/** That it still answers in `/`. */
async function stillThere(socket) {
  socket.send('42["message","still here"]');
  assert.equal(await socket.news(), '42["message-back","still here"]');
}

const connects = (door) => [
  ...[
    ['/', undefined],
    ['/', { token: '123' }],
    ['/custom', undefined],
    ['/custom', { token: 'abc' }],
  ].map(([name, auth]) => [
    `${name} is joined ${auth ? 'with' : 'without'} words about who it is`,
    async () => {
      const socket = await door.socket();
      const sid = await join(socket, name, auth);
      assert.notEqual(sid, JSON.parse(socket.begun.slice(1)).sid, 'the public sid is not the secret one');
      socket.close();
    },
  ]),
  [
    'a namespace that is not there is refused, and others are not',
    async () => {
      const socket = await door.socket();
      socket.send('40/random');
      assert.equal(await socket.news(), '44/random,{"message":"Invalid namespace"}');
      await join(socket);
      socket.close();
    },
  ],
  [
    'who begins with garbage is closed',
    async () => {
      const socket = await door.socket();
      socket.send('4abc');
      await socket.end(250); // sooner than for want of a heartbeat
    },
  ],
  [
    'who does not join is closed in time',
    async () => {
      const socket = await door.socket();
      const begun = performance.now();
      assert.equal(await socket.news(), undefined); // it answers heartbeats all the while
      const took = performance.now() - begun;
      assert.ok(took > 900 && took < 3_000, `it took ${took} ms`);
    },
  ],
  [
    'both namespaces on one connection',
    async () => {
      const socket = await joined(door);
      await join(socket, '/custom', { n: 1 });
      await stillThere(socket);
      socket.close();
    },
  ],
  [
    'all of it by polls',
    async () => {
      const session = await door.poll();
      const told = [];
      const hear = async (n) => {
        while (told.length < n) {
          const { status, text } = await session.get();
          assert.equal(status, 200);
          for (const packet of text.split('\x1e')) {
            if (packet === '2') await session.post('3');
            else told.push(packet);
          }
        }
      };
      await session.post('40{"a":1}');
      await hear(2);
      assert.match(told[0], /^40\{"sid":"[^"]+"\}$/);
      assert.equal(told[1], '42["auth",{"a":1}]');
      await session.post(`452-["message",${PLACES}]`, 'bAQID', 'bBAUG');
      await hear(5);
      assert.deepEqual(told.slice(2), [`452-["message-back",${PLACES}]`, 'bAQID', 'bBAUG']);
    },
  ],
];

const disconnects = (door) => [
  [
    'who leaves the only namespace stays connected',
    async () => {
      const socket = await joined(door);
      socket.send('41');
      assert.equal(await socket.text(), '2'); // nothing but the next heartbeat
      socket.send('3');
      assert.equal(await socket.text(), '2');
      socket.close();
    },
  ],
  [
    'who leaves a namespace is in the others still',
    async () => {
      const socket = await joined(door);
      await join(socket, '/custom');
      socket.send('41/custom');
      await stillThere(socket);
      socket.close();
    },
  ],
  [
    'who has left can come back',
    async () => {
      const socket = await joined(door);
      socket.send('41');
      assert.equal(await socket.text(), '2'); // a stock server needs a moment
      socket.send('3');
      await join(socket);
      await stillThere(socket);
      socket.close();
    },
  ],
];

const events = (door) => [
  ...[
    ['an event', ['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']],
    ['an event of any characters', ['42["message","é€😀\\u0000\\n"]'], ['42["message-back","é€😀\\u0000\\n"]']],
    ['an event with bytes', [`452-["message",${PLACES}]`, ...BYTES], [`452-["message-back",${PLACES}]`, ...BYTES]],
    ['an event with a question', ['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']],
    ['an event with bytes and a question', [`452-789["message-with-ack",${PLACES}]`, ...BYTES], [`462-789[${PLACES}]`, ...BYTES]],
    [
      'bytes that are deep inside',
      ['451-["message",{"a":[{"_placeholder":true,"num":0}]}]', BYTES[0]],
      ['451-["message-back",{"a":[{"_placeholder":true,"num":0}]}]', BYTES[0]],
    ],
    ['the answer to a question that nobody asked', ['4377[1]', '42["message",1]'], ['42["message-back",1]']],
  ].map(([what, sent, expected]) => [
    `${what} is understood`,
    async () => {
      const socket = await joined(door);
      socket.send(...sent);
      for (const packet of expected) assert.deepEqual(await socket.news(), packet);
      socket.close();
    },
  ]),
  ...[
    ['an unknown type', ['4abc']],
    ['a type beyond the last', ['47']],
    ['an object for a list', ['42{}']],
    ['a list without a name', ['42[]']],
    ['JSON that is none', ['42["message"']],
    ['an id that is none', ['42abc["message-with-ack",1,"2",{"3":[false]}]']],
    ['text for bytes', ['451-["message",{"_placeholder":true,"num":0}]', '42["message",1]']],
    ['bytes that nobody announced', [BYTES[0]]],
    ['more bytes than may be', ['4511-["message",{"_placeholder":true,"num":0}]']],
    ['bytes for a place that is not there', ['451-["message",{"_placeholder":true,"num":1}]', BYTES[0]]],
    ['a second CONNECT', ['40']],
    ['a packet to a namespace it has not joined', ['42/custom,["message",1]']],
    ['the name of an event of our own', ['42["disconnect"]']],
    ['a CONNECT_ERROR', ['44{"message":"no"}']],
  ].map(([what, sent]) => [
    `${what} closes the connection`,
    async () => {
      const socket = await joined(door);
      socket.send(...sent);
      await socket.end(250); // sooner than for want of a heartbeat
    },
  ]),
];

export const socketCases = (door) => [...connects(door), ...disconnects(door), ...events(door)];
