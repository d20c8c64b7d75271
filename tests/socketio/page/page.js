// Follows what a socket is told, for whoever drives the browser to read.

const story = [];
const tell = (...what) => story.push(what);

/** Bytes as text: a page has several kinds of them. */
async function readable(value) {
  if (value instanceof Blob) value = await value.arrayBuffer();
  if (value instanceof ArrayBuffer) value = new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return `bytes ${[...value]}`;
  return value;
}

const socket = io(asked.url, asked.options);
socket.on('connect', () => tell('connect', socket.id, socket.recovered ?? false));
socket.on('disconnect', (reason) => tell('disconnect', reason));
socket.on('message', ({ data }) => tell('number', data));
socket.on('news', async (...args) => {
  const place = [];
  story.push(place); // where it came
  place.push('news', ...(await Promise.all(args.map(readable))));
});
socket.on('message-back', async (...args) => tell('back', ...(await Promise.all(args.map(readable)))));

/** What has been so far. */
const look = () => ({ story, transport: socket.io.engine?.transport?.name });

/** Asks the conformance server. */
const ask = (...args) => new Promise((resolve) => socket.emit('message-with-ack', ...args, (...answer) => resolve(answer)));
