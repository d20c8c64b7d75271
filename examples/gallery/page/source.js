// An example's files, with numbers before their lines and a few colours.
import { colour } from './colours.js';

const at = (id) => document.getElementById(id);
let example = '';

export async function showSource({ name }) {
  if (example === name) return;
  example = name;
  clear();
  let files;
  try {
    files = await get(`source/${name}`).then((response) => response.json());
  } catch (error) {
    if (example === name) fail(error);
    return;
  }
  if (example !== name) return; // another one was chosen meanwhile
  const groups = new Map();
  for (const { path } of files) {
    const folder = path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
    const option = document.createElement('option');
    option.value = option.textContent = path;
    if (!groups.has(folder)) groups.set(folder, []);
    groups.get(folder).push(option);
  }
  at('file').replaceChildren(
    ...[...groups].flatMap(([folder, options]) => {
      if (!folder) return options;
      const group = document.createElement('optgroup');
      group.label = folder;
      group.append(...options);
      return [group];
    }),
  );
  await showFile();
}

/** Nothing of another example stays, whatever becomes of this one's. */
function clear() {
  at('file').replaceChildren();
  at('plain').removeAttribute('href');
  at('code').replaceChildren();
  at('code').ariaLabel = 'The file';
}

function fail(error) {
  at('code').classList.add('prose');
  at('code').replaceChildren(...colour(`${error.message}\n\nDoes the demo still run? Then reload this page.`));
}

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
}

async function showFile() {
  const path = at('file').value;
  const url = `source/${example}/${path}`;
  at('plain').href = url;
  at('plain').setAttribute('aria-label', `${path} as text`);
  let text;
  try {
    text = await get(url).then((response) => response.text());
  } catch (error) {
    if (at('plain').getAttribute('href') === url) fail(error);
    return;
  }
  if (at('plain').getAttribute('href') !== url) return;
  const kind = path.split('.').pop();
  at('code').classList.toggle('prose', kind === 'md');
  at('code').replaceChildren(...colour(text.replace(/\n$/, ''), kind));
  at('code').scrollTop = 0;
  at('code').ariaLabel = path;
}

at('file').addEventListener('change', showFile);
