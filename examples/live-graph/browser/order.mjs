// What page/order.js promises, without a browser.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

const { Order, isPoint } = vm.runInThisContext(`${readFileSync(new URL('../page/order.js', import.meta.url), 'utf8')}; ({ Order, isPoint })`);

/** The holes that are seen in these times; 'lost' stands for a lost connection, and 'anew' tells of a new beginning. */
function holes(...times) {
  const order = new Order();
  const found = [];
  for (const x of times.flat()) {
    if (x === 'lost') {
      order.lost = true;
      continue;
    }
    const next = order.next(x);
    if (!next) found.push(`seen ${x}`);
    if (next?.anew) found.push('anew');
    if (next?.hole) found.push(`${next.hole.from}-${next.hole.to} ${next.hole.count}${next.hole.lost ? ' lost' : ''}`);
  }
  return found;
}

const even = (n, from = 0, step = 100) => Array.from({ length: n }, (_, i) => from + i * step);

const cases = {
  'nothing is missing': [[even(300)], []],
  'one point is missing': [[even(10), 1100], ['900-1100 1']],
  'many are missing': [[even(10), even(10, 5000)], ['900-5000 40']],
  'the connection was lost': [[even(10), 'lost', 2000], ['900-2000 10 lost']],
  'the connection was lost, but no point': [[even(10), 'lost', 1000, 1100], []],
  'what was lost before is not lost now': [[even(10), 'lost', 1000, 2000], ['1000-2000 9']],
  'a point comes twice': [[even(3), 200, 100, 300], ['seen 200', 'seen 100']],
  'one point, and then another': [[0, 700, 1400], []],
  'one point, and then none for a while': [[0, 'lost', 700], ['0-700 0 lost']],
  'a producer that does not keep time': [[0, 100, 240, 330, 480, 590, 780, 880], []],
  'a producer that keeps time less and less': [[even(20), 2040, 2240, 2540, 2841], ['2540-2841 2']],
  'after a hole one point is missed as before': [[even(10), even(10, 5000), 6100], ['900-5000 40', '5900-6100 1']],
  'the clock was set back': [[even(10, 3_600_000), even(10), 1100], ['anew', '900-1100 1']],
  'the clock was set back a little': [[even(10, 1000), 500, 600, 2000], ['seen 500', 'seen 600']],
};
for (const [name, [times, want]] of Object.entries(cases)) assert.deepEqual(holes(...times), want, name);

// A producer that has slowed down for good is not taken for one with holes for good.
const slow = holes(even(200), even(250, 20_500, 500));
assert.equal(slow.length, 100);
assert.equal(slow.at(-1).split(' ')[0], '69500-70000');

// What may be published is anything.
const now = Date.now();
for (const data of [{ x: now, y: 2 }, { x: now - 80_000_000, y: -1.5 }, { x: now + 80_000_000, y: 0 }]) assert.ok(isPoint(data, now), JSON.stringify(data));
for (const data of [
  undefined, null, 5, 'x', [], {}, { x: now }, { y: 2 }, { x: `${now}`, y: 2 }, { x: now, y: null }, { x: now, y: [2] },
  { x: now, y: NaN }, { x: now, y: Infinity }, { x: NaN, y: 2 }, { x: 99999999999999, y: 2 }, { x: -5, y: 1 }, { x: now / 1000, y: 1 },
]) {
  assert.ok(!isPoint(data, now), JSON.stringify(data));
}

console.log('done');
