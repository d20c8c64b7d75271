// A name is the last part of an address. Whether it is free is told there.
import { at, complain, link } from './common.js';

const REMEMBERED = 'rooms.name';

const storage = (use) => {
  try {
    return use(localStorage);
  } catch {
    return null; // forbidden: then nothing is remembered
  }
};

at('name').value = storage((all) => all.getItem(REMEMBERED)) ?? '';

at('choose').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = at('name').value.normalize('NFC').trim();
  if (!/^[\p{L}\p{M}\p{Nd}_-]([\p{L}\p{M}\p{Nd} _-]*[\p{L}\p{M}\p{Nd}_-])?$/u.test(name)) {
    at('name').focus();
    return complain(new Error('A name has 1 to 20 letters, digits, spaces, - and _.'));
  }
  storage((all) => all.setItem(REMEMBERED, name));
  location.assign(link(name));
});
