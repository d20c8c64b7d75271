// What the three pages share. What people wrote goes into a page as textContent
// and never as HTML.

export const at = (id) => document.getElementById(id);

/** The parts of the page's address, from the last one backwards. */
export const parts = location.pathname.split('/').reverse().map(decodeURIComponent);

export const link = (...names) => names.map(encodeURIComponent).join('/');

/** The page's own address answers a page, or, asked like this, what is to be seen there. */
export async function here() {
  return (await ask(location.pathname, { headers: { Accept: 'application/json' } })).json();
}

/** A request that is answered, or an error with its status, if there is any. `who` is to answer. */
export async function ask(path, init, who = 'the back end') {
  const response = await fetch(path, { cache: 'no-store', ...init }).catch((cause) => {
    throw new Error(`${who} does not answer`, { cause }); // browsers have a word of their own each
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  const message = typeof error === 'string' ? error : `the server answered ${response.status}`;
  throw Object.assign(new Error(message), { status: response.status });
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

let passing = false; // the problem is nobody's fault, and ends by itself

export function complain(error) {
  passing = Boolean(error) && (!error.status || error.status >= 500);
  at('problem').textContent = error?.message ?? '';
  at('problem').hidden = !error;
}

/** All is well again: what was wrong with the connection is so no more. */
export function relieve() {
  if (passing) complain(null);
}

/** Letters and digits that nobody guesses. */
export const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, '0')).join('');
