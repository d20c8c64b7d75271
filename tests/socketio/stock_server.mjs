// The stock server of Socket.IO, in our place: with the few calls of our admin API
// that the tests make, so that a test can be seen to be right before it is
// turned on us, and with the echoes of the conformance server. The argument is
// JSON, see DEFAULTS. It prints where it listens, and lives until it is ended.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import * as engine from 'engine.io';
import { Server } from 'socket.io';

const DEFAULTS = {
  port: 0,
  conformance: false, // the echoes
  open: false, // whether namespaces need no key; as with the echoes
  recovery: 0, // ms
  eio3: false,
  cors: false,
  engine: {}, // options of Engine.IO, by its own names
};
const options = { ...DEFAULTS, ...JSON.parse(process.argv[2] ?? '{}') };
const cors = options.cors ? { origin: '*' } : undefined;
const httpCompression = false;
const common = { allowEIO3: options.eio3, cors, httpCompression, ...options.engine };

const http = createServer((request, response) => answer(request, response));
const io = new Server(http, {
  ...common,
  connectTimeout: options.conformance ? 1000 : 45_000,
  ...(options.recovery && { connectionStateRecovery: { maxDisconnectionDuration: options.recovery } }),
});

if (options.conformance) {
  const echo = engine.attach(http, { path: '/engine.io/', ...common });
  echo.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  for (const name of ['/', '/custom']) io.of(name).on('connection', (socket) => socket.emit('auth', socket.handshake.auth));
  io.on('connection', (socket) => {
    socket.on('message', (...args) => socket.emit('message-back', ...args));
    socket.on('message-with-ack', (...args) => args.pop()(...args));
  });
}

/** By id: the key, and the channels. */
const clients = new Map();
/** How many messages there have been, by channel. */
const counts = new Map();

function whoIs({ auth, query }) {
  const { client_id: id, key, token } = { ...query, ...auth };
  const [asked, secret] = token ? token.split('_!!_') : [id, key];
  return clients.get(asked)?.key === secret ? asked : undefined;
}

if (!options.conformance && !options.open) {
  for (const name of ['/', '/custom']) {
    io.of(name).use((socket, next) => {
      socket.data.id = whoIs(socket.handshake);
      if (socket.data.id !== undefined) return next();
      next(Object.assign(new Error('unauthorized'), { data: { code: 401, type: 'unauthorized' } }));
    });
    io.of(name).on('connection', (socket) => {
      const { id } = socket.data;
      socket.join([`client:${id}`, ...(name === '/' ? clients.get(id).channels : [])]);
    });
  }
}

const socketsOf = (id) => io.in(`client:${id}`).fetchSockets();

const withBuffers = (value) => {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(withBuffers);
  if (typeof value.$binary === 'string') return Buffer.from(value.$binary, 'base64');
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withBuffers(inner)]));
};

const METHODS = {
  create_client({ client_id: id }) {
    if (!clients.has(id)) clients.set(id, { key: randomBytes(16).toString('hex'), channels: new Set() });
    return clients.get(id).key;
  },
  subscribe({ client_id: id, channel_name: channel }) {
    clients.get(id).channels.add(channel);
    io.in(`client:${id}`).socketsJoin(channel);
  },
  unsubscribe({ client_id: id, channel_name: channel }) {
    clients.get(id).channels.delete(channel);
    io.in(`client:${id}`).socketsLeave(channel);
  },
  publish({ channel, data, sender = null }) {
    const id = (counts.get(channel) ?? 0) + 1;
    counts.set(channel, id);
    io.to(channel).emit('message', { channel, id, pos: String(id), sender, data, time: Date.now() });
    return { id };
  },
  emit({ event, args = [], to = [], except = [], namespace = '/', volatile = false }) {
    let all = io.of(namespace).to(to).except(except);
    if (volatile) all = all.volatile;
    all.emit(event, ...args.map(withBuffers));
    return {};
  },
  async kill_client({ client_id: id }) {
    for (const socket of await socketsOf(id)) socket.disconnect();
    clients.delete(id);
  },
  async disconnect({ client_id: id }) {
    for (const { id: sid } of await socketsOf(id)) io.sockets.sockets.get(sid).conn.close();
    return {};
  },
};

async function answer(request, response) {
  if (request.url !== '/' || request.method !== 'POST') return response.writeHead(404).end();
  let body = '';
  for await (const piece of request) body += piece;
  const asked = JSON.parse(body);
  const one = async ({ id, method, params }) => ({ jsonrpc: '2.0', id, result: (await METHODS[method](params)) ?? null });
  const answers = Array.isArray(asked) ? await Promise.all(asked.map(one)) : await one(asked);
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answers));
}

http.listen(options.port, '127.0.0.1', () => console.log(`listening http://127.0.0.1:${http.address().port}`));
