// The form: what is typed is told to the web application, one line after the
// other. A line that was not said comes back into the form, and a second attempt
// has the id of the first: if that came through after all, nobody hears it twice.

const at = (id) => document.getElementById(id);
const said = new Map(); // id of a line from here: whether it was heard
let unsaid = null; // the last line that failed: {u, m, id}
let last = Promise.resolve(); // when the last one is said

/** Whether a line is from here. */
export const mine = (id) => said.has(id);

/** A line has come. If it is one that failed it has come through after all. */
export function wasHeard(id) {
  if (mine(id)) said.set(id, true);
  if (!unsaid || unsaid.id !== id) return;
  if (at('m').value === unsaid.m) at('m').value = '';
  unsaid = null;
  at('problem').hidden = true;
}

export function listenToForm() {
  at('say').addEventListener('submit', async (event) => {
    event.preventDefault();
    const line = { u: at('u').value, m: at('m').value, id: newId() };
    if (unsaid && unsaid.u === line.u && unsaid.m === line.m) line.id = unsaid.id;
    unsaid = null;
    said.set(line.id, false);
    at('problem').hidden = true;
    at('m').value = '';
    // One after the other: requests side by side may overtake each other.
    const saying = last.then(() => post(line));
    last = saying.catch(() => {});
    try {
      await saying;
    } catch (error) {
      if (said.get(line.id)) return; // it was heard before the answer was lost
      unsaid = line;
      if (at('m').value === '') at('m').value = line.m; // nothing is lost
      at('problem').textContent = error.message;
      at('problem').hidden = false;
    }
  });
}

async function post(line) {
  let response;
  try {
    response = await fetch('say', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(line),
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    throw new Error('The web app does not answer. Try again.');
  }
  if (response.ok) return;
  const { error } = await response.json().catch(() => ({}));
  throw new Error(error || `the web app answered ${response.status}`);
}

/** Drawn: randomUUID is only for pages that come by HTTPS. */
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
