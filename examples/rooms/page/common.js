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

/** A request that is answered, or an error with its status. */
export async function ask(path, init) {
  const response = await fetch(path, { cache: 'no-store', ...init });
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

export function complain(error) {
  at('problem').textContent = error?.message ?? '';
  at('problem').hidden = !error;
}

/** Letters and digits that nobody guesses. */
export const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, '0')).join('');
