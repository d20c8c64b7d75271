import { at, complain, element, here, link, parts } from './common.js';

const [uid] = parts;
at('me').textContent = uid;
document.title = `${uid} – Rooms`;

here()
  .then(({ rooms }) => {
    at('rooms').replaceChildren(
      ...rooms.map((room) => {
        const door = element('a', '', '');
        door.href = link(room.name, uid);
        door.append(element('bdi', '', room.name), ' ', element('span', 'quiet', room.here ? `${room.here} here` : 'nobody here'));
        const line = element('li', '', '');
        line.append(door);
        return line;
      }),
    );
  })
  .catch(complain);
