// Has many stock clients upgrade from polls to a WebSocket while a stream of
// numbers is told to them: none may be lost, doubled or out of order. The
// argument is JSON, see DEFAULTS. What comes of it is printed as a line of JSON.

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { admin, everyNumber, Peer, until } from './kit.mjs';
import { Relay } from './relay.mjs';
import { inTime, pause } from './wire.mjs';

const DEFAULTS = {
  base: '',
  admin: '',
  version: '4.8',
  upgrades: 200,
  atOnce: 100,
  gap: 10, // ms between two numbers
};
/** The publisher has a thread of its own, or the clients would not let it come to a word. */
const options = isMainThread ? { ...DEFAULTS, ...JSON.parse(process.argv[2]) } : workerData.options;
const call = admin(options.admin);
const CHANNEL = `numbers for ${options.version}`;

/** Shared with the publisher: the last number that is in the log, the last that may be, and how many upgrades are to be begun. */
const shared = isMainThread ? new Int32Array(new SharedArrayBuffer(12)) : workerData.shared;
const [SAID, BEGUN, LEFT] = [0, 1, 2];
const get = (what) => Atomics.load(shared, what);
/** By how many polls and frames the numbers came. */
const carried = { polling: 0, websocket: 0 };

async function publish() {
  while (get(LEFT) > 0) {
    const next = Atomics.add(shared, BEGUN, 1) + 1;
    await call('publish', { channel: CHANNEL, data: next });
    Atomics.store(shared, SAID, next);
    await pause(options.gap);
  }
}

/** One client after the other, until there have been enough. */
async function upgradeAll(base, worker) {
  const who = { client_id: `${CHANNEL}: ${worker}` };
  who.key = await call('create_client', { client_id: who.client_id });
  await call('subscribe', { client_id: who.client_id, channel_name: CHANNEL });
  while (Atomics.sub(shared, LEFT, 1) > 0) {
    const before = get(SAID);
    const peer = Peer.connect(options.version, base, who, { transports: ['polling', 'websocket'] });
    try {
      await inTime(upgradeOne(peer, before), 'one upgrade', 60_000);
    } finally {
      peer.close();
    }
  }
}

async function upgradeOne(peer, before) {
  const numbers = [];
  peer.socket.on('message', ({ data }) => {
    numbers.push(data);
    carried[peer.transport]++;
  });
  let joined;
  peer.socket.on('connect', () => (joined ??= get(BEGUN)));
  await until(() => peer.transport === 'websocket' && joined, 'upgraded');
  const enough = numbers.length + 3;
  await until(() => numbers.length >= enough || get(LEFT) <= 0, 'it hears on');
  const last = numbers.at(-1);
  if (last === undefined) return;
  // What was said before it connected is not for it; what was said after is.
  if (numbers[0] <= before || numbers[0] > joined + 1) {
    throw new Error(`the first number is ${numbers[0]}; ${before} was said before, and ${joined} when it had connected`);
  }
  if (peer.told.length !== 1) throw new Error(`it was told ${JSON.stringify(peer.told)}`);
  everyNumber(numbers, numbers[0], last);
}

async function main() {
  const start = performance.now();
  shared[LEFT] = options.upgrades;
  const publisher = new Worker(new URL(import.meta.url), { workerData: { options, shared } });
  const failed = new Promise((_, reject) => publisher.once('error', reject));
  let error;
  try {
    // A wire of some length leaves time for numbers while an upgrade is under way.
    const { base } = await Relay.start(options.base, { upTo: 40 });
    const workers = Array.from({ length: Math.min(options.atOnce, options.upgrades) }, (_, i) => upgradeAll(base, i));
    await Promise.race([failed, Promise.all(workers)]);
    if (!carried.polling || !carried.websocket) throw new Error('all came by one transport');
  } catch (thrown) {
    error = thrown.stack;
  }
  const ms = Math.round(performance.now() - start);
  const said = get(SAID);
  console.log(JSON.stringify({ case: `${options.upgrades} upgrades of version ${options.version}`, ms, said, carried, error }));
  process.exit(error ? 1 : 0);
}

if (isMainThread) await main();
else await publish();
