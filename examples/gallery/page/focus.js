// The list by keyboard: it is one stop, and the arrows go from line to line.

const visible = (list) => [...list.querySelectorAll('li:not([hidden]) > details > summary')];

/** The line of the list that has the focus, if one has. */
export function focused(list) {
  const { activeElement } = document;
  return activeElement !== list && list.contains(activeElement) ? activeElement.closest('li') : null;
}

/** Makes one line the stop: the one that is, or the newest while nobody is inside. */
export function setStop(list) {
  const stop = list.querySelector('summary[tabindex="0"]');
  if (stop && focused(list)) return;
  move(list, visible(list).at(-1));
}

function move(list, summary) {
  for (const old of list.querySelectorAll('summary[tabindex="0"]')) old.tabIndex = -1;
  if (summary) summary.tabIndex = 0;
}

export function byKeyboard(list) {
  list.addEventListener('focusin', ({ target }) => {
    if (target.localName === 'summary') move(list, target);
  });
  list.addEventListener('keydown', (event) => {
    if (event.target.localName !== 'summary' && event.target !== list) return;
    const all = visible(list);
    const now = all.indexOf(event.target);
    const next = { ArrowUp: now < 0 ? all.length - 1 : now - 1, ArrowDown: now + 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    all[Math.max(0, Math.min(next, all.length - 1))]?.focus();
  });
}
