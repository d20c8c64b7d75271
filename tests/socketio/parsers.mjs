// Reads and writes packets by the parsers of the stock Socket.IO. It is asked by
// lines of JSON on stdin, and answers each by a line on stdout.

import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const sio5 = require('socket.io-parser');
const sio4 = require('socket.io-parser-3');
const eio4 = require('engine.io-parser');
const eio3 = require('engine.io-parser-3');

// Binary is {"$binary":"<base64>"} in what is asked and answered.
const withBuffers = (value) => {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(withBuffers);
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === '$binary') return Buffer.from(value.$binary, 'base64');
  return Object.fromEntries(keys.map((key) => [key, withBuffers(value[key])]));
};

const stringify = (value) =>
  JSON.stringify(value, function (key, given) {
    const own = this[key];
    return Buffer.isBuffer(own) ? { $binary: own.toString('base64') } : given;
  });

// Go's JSON has null for no bytes.
const bytes = (text) => Buffer.from(text ?? '', 'base64');
const base64 = (data) => Buffer.from(data).toString('base64');

// decode says what the parser makes of a text and its attachments, and with
// how many it was satisfied.
const decode = (parser, { text, attached }) => {
  const packets = [];
  const decoder = new parser.Decoder();
  decoder.on('decoded', (packet) => packets.push(packet));
  let fed = 0;
  try {
    decoder.add(text);
    for (const data of attached ?? []) {
      if (packets.length > 0) break;
      decoder.add(bytes(data));
      fed++;
    }
  } catch (error) {
    return { refused: error.message };
  }
  if (packets.length === 0) return { refused: 'waits' };
  const [{ type, nsp, id, data }] = packets;
  return { type, nsp, id: id === undefined ? '' : String(id), data: stringify(data) ?? '', fed };
};

// same reports whether what we read is what the stock parser has read.
const same = (stock, ours) => {
  if (stock.refused || !ours) return false;
  if (stock.type !== ours.type || stock.nsp !== ours.nsp || stock.id !== ours.id || stock.fed !== ours.fed) return false;
  if (stock.data === '') return ours.data === '';
  let data = ours.data;
  if (ours.type === 2) {
    const [name, ...args] = JSON.parse(stock.data);
    if (typeof name === 'string' ? name.toWellFormed() !== ours.name : name !== Number(ours.name)) return false;
    return JSON.stringify(args) === JSON.stringify(JSON.parse(data));
  }
  return stock.data === JSON.stringify(JSON.parse(data));
};

const encode = {
  5: ({ packet }) => new sio5.Encoder().encode(packet),
  4: ({ packet, binary }) => {
    let all;
    const type = binary ? packet.type + 3 : packet.type;
    new sio4.Encoder().encode({ ...packet, type }, (encoded) => (all = encoded));
    return all;
  },
};

const ofEngine = ({ type, data }) => {
  if (type === undefined) return 'undefined';
  if (type === 'error') return 'failed';
  const digit = eio3.packets[type];
  return Buffer.isBuffer(data) ? `${digit} ${data.toString('hex')}` : `${digit}${data ?? ''}`;
};

const types = Object.keys(eio3.packets);
const toEngine = ({ type, text, binary }) => ({
  type: types[type],
  data: binary !== undefined ? Buffer.from(binary, 'base64') : text,
});

const answers = {
  parse: (asked) => {
    const stock = decode(sio5, asked);
    return { ...stock, same: same(stock, asked.ours) };
  },
  parse4: (asked) => {
    const stock = decode(sio4, asked);
    if (stock.type >= 5) stock.type -= 3;
    return { ...stock, same: same(stock, asked.ours) };
  },
  encode: (asked) => {
    const packet = { type: asked.type, nsp: asked.nsp, data: withBuffers(JSON.parse(asked.data)) };
    if (asked.id) packet.id = Number(asked.id);
    const [text, ...attached] = encode[asked.version]({ packet, binary: asked.binary });
    return { text, attached: attached.map(base64) };
  },
  payload4: ({ body }) => {
    const packets = eio4.decodePayload(bytes(body).toString());
    let again;
    eio4.encodePayload(packets, (encoded) => (again = base64(encoded)));
    return { lines: packets.map(ofEngine), again };
  },
  text3: ({ body }) => {
    const packets = [];
    eio3.decodePayload(bytes(body).toString(), (packet) => {
      packets.push(packet);
    });
    const failed = packets.some(({ type }) => type === 'error' || type === undefined);
    let again = '';
    if (!failed) eio3.encodePayload(packets, false, (encoded) => (again = base64(encoded)));
    return { lines: packets.map(ofEngine), again };
  },
  binary3: ({ body }) => {
    const packets = [];
    eio3.decodePayload(bytes(body), (packet) => {
      packets.push(packet);
    });
    const failed = packets.some(({ type }) => type === 'error' || type === undefined);
    let again = '';
    if (!failed) eio3.encodePayloadAsBinary(packets, (encoded) => (again = base64(encoded)));
    return { lines: packets.map(ofEngine), again };
  },
  engine: ({ packets }) => {
    const all = packets.map(toEngine);
    const answer = {};
    eio4.encodePayload(all, (encoded) => (answer.payload4 = base64(encoded)));
    eio3.encodePayload(all, false, (encoded) => (answer.text3 = base64(encoded)));
    eio3.encodePayloadAsBinary(all, (encoded) => (answer.binary3 = base64(encoded)));
    eio4.encodePacket(all[0], true, (encoded) => (answer.message4 = base64(encoded)));
    eio3.encodePacket(all[0], true, (encoded) => (answer.message3 = base64(encoded)));
    eio3.encodePacket(all[0], false, (encoded) => (answer.plain3 = base64(encoded)));
    return answer;
  },
  // What a page without CORS evaluates, and what it posts.
  jsonp: ({ script, body }) => {
    let got;
    new Function('___eio', bytes(script).toString())({ 3: (payload) => (got = payload) });
    const escaped = bytes(body).toString().replace(/\\n/g, '\\\n').replace(/\n/g, '\\n');
    return { body: base64(got), form: base64(new URLSearchParams({ d: escaped }).toString()) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  console.log(JSON.stringify(answers[asked.ask](asked)));
}
