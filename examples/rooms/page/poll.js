// The tutorial's long poll: POST /poll/<uid>, again and again. The back end sends
// the browser on to Shaveet, which holds it for 10 s; what comes is a batch
// (docs/protocol.md), and the cursor in it goes with the next poll, so that
// nothing is lost between two polls and nothing comes twice.
import { ask, random } from './common.js';

const GIVE_UP = 25_000; // 10 s and a slow network
const LONGEST_WAIT = 8_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Polls until the page ends.
 * @param path where
 * @param position where we are: `cursor`, and `rooms` to be in, whoever has been restarted meanwhile
 * @param hear is called with each batch and awaited
 * @param show is called with 'connected' or 'waiting', and why
 */
export async function poll(path, position, hear, show) {
  const session = random(); // so that we need not wait for a poll of ours whose connection broke
  for (let failures = 0; ; ) {
    try {
      const asked = performance.now();
      const batch = await once(path, position, session, show);
      const told = batch.messages.length + batch.signals.length > 0;
      if (!told && performance.now() - asked < 500) throw new Error('the answers come too quickly');
      await hear(batch); // which moves the cursor
      failures = 0;
      const drain = batch.signals.find(({ type }) => type === 'drain');
      if (drain) await pause(drain.retry_ms);
    } catch (error) {
      // A new name is needed, or the page was made for another back end: no poll mends that.
      if (error.status === 409 || error.status === 403) throw error;
      show('waiting', error.message);
      await pause(Math.random() * Math.min(1000 * 2 ** failures++, LONGEST_WAIT));
    }
  }
}

async function once(path, { cursor, rooms }, session, show) {
  const form = new URLSearchParams({ cursor, session });
  for (const room of rooms) form.append('room', room);
  const signal = AbortSignal.timeout(GIVE_UP);
  const answer = await ask(path, { method: 'POST', body: form, signal }, 'the back end or Shaveet'); // which it sends us on to
  const batch = await answer.json();
  show('connected');
  return batch;
}
