// The page: which example is shown, and what of it. The address says so behind
// its #, as in #chat, and may hand a query on to the readers: #chat?disableCORS=1
import { showReaders } from './readers.js';
import { showSource } from './source.js';
import { watch } from './wire.js';

const at = (id) => document.getElementById(id);
const tabs = [...document.querySelectorAll('#tabs button')];
const onPhone = matchMedia('(max-width: 44rem)');
let examples = [];
let shown = null;
let asked = ''; // the query for its readers

async function begin() {
  const response = await fetch('examples');
  if (!response.ok) throw new Error(`the demo answers ${response.status}`);
  examples = await response.json();
  at('examples').replaceChildren(
    ...examples.map(({ name, title }) => {
      const link = document.createElement('a');
      link.href = `#${name}`;
      link.textContent = title;
      const line = document.createElement('li');
      line.append(link);
      return line;
    }),
  );
  route();
  addEventListener('hashchange', route);
}

function route() {
  const [name, query = ''] = location.hash.slice(1).split('?');
  const example = examples.find((each) => each.name === name) ?? examples[0];
  if (example === shown && query === asked) return;
  asked = query;
  if (example === shown) {
    showReaders(example, query);
    return;
  }
  const first = shown === null;
  shown = example;
  for (const link of document.querySelectorAll('#examples a')) {
    if (link.hash === `#${example.name}`) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else link.removeAttribute('aria-current');
  }
  document.title = `${example.title} – Shaveet’s examples`;
  at('title').textContent = example.title;
  at('sentence').textContent = example.sentence;
  at('hint').textContent = example.hint;
  at('curl').textContent = example.curl;
  at('tab-one').textContent = example.readers[0].title;
  at('tab-two').textContent = example.readers[1].title;
  showReaders(example, query);
  watch(example.name);
  showSource(example);
  if (!first) at('title').focus({ preventScroll: true }); // where a new page would begin
}

// ---- the views

/** One of the tabs. Where there is room, the readers are always there and no tabs. */
function view(name) {
  document.body.dataset.view = name;
  const chosen = onPhone.matches || name === 'source' ? name : 'wire';
  for (const tab of tabs) {
    const is = tab.dataset.view === chosen;
    tab.setAttribute('aria-selected', is);
    tab.tabIndex = is ? 0 : -1;
  }
}

for (const tab of tabs) tab.addEventListener('click', () => view(tab.dataset.view));
onPhone.addEventListener('change', () => view(document.body.dataset.view));

at('tabs').addEventListener('keydown', (event) => {
  const seen = tabs.filter((tab) => tab.offsetParent);
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -seen.length, End: seen.length }[event.key];
  if (!step) return;
  event.preventDefault();
  const now = seen.indexOf(document.activeElement);
  const next = Math.abs(step) === 1 ? (now + step + seen.length) % seen.length : step < 0 ? 0 : seen.length - 1;
  view(seen[next].dataset.view);
  seen[next].focus();
});

at('skip').addEventListener('click', (event) => {
  event.preventDefault(); // what is behind # is the example's
  view('wire');
  at('events').focus();
});

at('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(at('curl').textContent);
    at('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(at('curl')); // then by hand
  }
  setTimeout(() => (at('copy').textContent = 'Copy'), 2000);
});

view('one');
begin().catch((error) => {
  at('problem').textContent = `${error.message}. Does the demo still run? Then reload this page.`;
  at('problem').hidden = false;
});
