// The two readers of an example, each in a frame. They stay when another example
// is shown, so that nobody has to join again.

const sides = [
  { section: document.getElementById('one'), base: '' },
  { section: document.getElementById('two'), base: 'second/' },
];

export function showReaders(example, query) {
  sides.forEach(({ section, base }, i) => {
    const { title, path } = example.readers[i];
    const url = `${base}${example.name}/${path}${query && `?${query}`}`;
    section.querySelector('h2').textContent = title;
    section.querySelector('.head a').href = url;
    section.querySelector('.head a').setAttribute('aria-label', `Open ${title} in a window`);
    const frames = section.querySelector('.frames');
    let mine = null;
    for (const frame of frames.children) {
      const is = frame.dataset.url === url;
      if (is) mine = frame;
      frame.hidden = !is;
    }
    if (mine) return;
    mine = document.createElement('iframe');
    mine.dataset.url = url;
    mine.src = url;
    mine.title = `${example.title}: ${title}`;
    frames.append(mine);
  });
}
