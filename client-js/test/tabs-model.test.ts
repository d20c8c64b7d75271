import { expect, test } from 'vitest';
import type { ShareOptions } from '../src/tabs';
import { KEY, type Page, random, type Tab, World } from './tabs-fakes';

/** How many random histories are tried. More: `TABS_HISTORIES=20000 npx vitest run test/tabs-model.test.ts`. */
declare const process: { env: Record<string, string | undefined> };
const HISTORIES = Number(process.env['TABS_HISTORIES']) || 600;
const FIRST = Number(process.env['TABS_SEED']) || 1;

const USERS = ['bob', 'carol'];

/** A world in which anything happens, until it may come to rest. */
async function live(seed: number): Promise<World> {
  const world = new World(random(seed));
  const { server, dice } = world;
  const chance = (probability: number) => dice() < probability;
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(dice() * list.length)];

  const options = (): Partial<ShareOptions> => {
    const kind = dice();
    return {
      resume: chance(0.5),
      cursor: kind < 0.15 ? 'now' : kind < 0.3 ? server.top : undefined,
      session: chance(0.2) ? 'mine' : undefined,
    };
  };
  const open = async () => {
    const page = await world.tab().load(options());
    if (chance(0.1)) page.member.on('*', (message) => message.id % 5 || page.member.close());
  };
  const reload = async (tab: Tab) => {
    const { options } = tab.pages[0]!;
    await tab.load({ ...options, cursor: goesOn(tab, options) ? undefined : options.cursor });
  };

  const events: [weight: number, happens: (tab: Tab) => unknown][] = [
    [30, () => server.publish(chance(0.6) ? 'a' : 'b')],
    [5, () => server.presence({ [chance(0.5) ? 'joined' : 'left']: pick(USERS)! })],
    [8, () => server.traffic()],
    [chance(0.3) ? 3 : 0, () => server.evict(chance(0.5) ? 'a' : 'b', Math.floor(dice() * 4))],
    [chance(0.2) ? 1 : 0, () => server.restart()],
    [2, () => (server.down = !server.down)],
    [8, (tab) => tab.unload()],
    [4, (tab) => tab.crash()],
    [8, (tab) => !tab.page && reload(tab)],
    [4, (tab) => tab.hide()],
    [8, (tab) => tab.show()],
    [2, (tab) => (tab.frozen = true)],
    [8, (tab) => tab.away || (tab.frozen = false)],
    [2, (tab) => tab.frozen || tab.page?.member.close()],
    [3, (tab) => tab.frozen || tab.page?.happen('seen')],
    [3, () => pick([...server.connections])?.drop()],
    [1, () => world.steal('shaveet all')],
    [6, () => world.tick()],
  ];
  const total = events.reduce((sum, [weight]) => sum + weight, 0);
  const calm = dice();

  await open();
  for (let i = 0; i < 150; i++) {
    if (chance(calm)) {
      world.step();
      continue;
    }
    if (chance(0.06) && world.tabs.length < 6) await open();
    let at = dice() * total;
    const [, happens] = events.find(([weight]) => (at -= weight) < 0)!;
    await happens(pick(world.tabs)!);
    for (const page of world.pages) if (!page.tab.frozen) page.drain();
  }
  return world;
}

/** Time goes on, and nothing happens any more. */
function rest(world: World): void {
  world.server.down = false;
  world.pass(120_000);
}

function wake(world: World): void {
  for (const tab of world.tabs) {
    tab.show();
    tab.frozen = false;
  }
}

const standing = (page: Page) => page.alive && !page.tab.frozen && page.member.state.name !== 'closed';

/** Whether a page of the tab would go on where the one before was. */
const goesOn = (tab: Tab, options: ShareOptions) => !!options.resume && !!tab.stored(`shaveet ${options.share}`);

/** The pages of a tab, those together that go on where the one before was. */
function lives(tab: Tab): Page[][] {
  const all: Page[][] = [];
  for (const page of tab.pages) {
    if (page.goesOn) all[all.length - 1]!.push(page);
    else all.push([page]);
  }
  return all;
}

/** Fails if a life of a page has not heard what it should. */
function judge(world: World, pages: Page[]): void {
  const { server } = world;
  const first = pages[0]!;
  const told = pages.flatMap((page) => page.told);
  const order = (pos: string) => server.order(pos);

  const heard = told.flatMap((item) => (item.what === 'message' ? order(item.value.pos) : []));
  expect(heard, 'in order, each once').toEqual([...new Set(heard)].sort((a, b) => a - b));

  const { cursor } = first.options;
  const connected = told.find((item) => item.what !== 'state' || item.value.name === 'connected')?.step ?? Infinity;
  const begin = cursor === undefined ? -1 : cursor === 'now' ? first.born : order(cursor);
  if (begin >= 0) expect(heard.every((at) => at > begin), 'nothing from before it began').toBe(true);

  told.forEach((item, i) => {
    if (item.what !== 'gap') return;
    const before = told.slice(0, i).flatMap(({ what, value }) => (what === 'message' ? order(value.pos) : []));
    expect(order(item.value.to!), 'a hole is ahead').toBeGreaterThan(Math.max(-1, ...before));
  });

  const lasts = pages.some((page) => page === page.tab.page && standing(page));
  const end = lasts ? Infinity : (heard[heard.length - 1] ?? -1);
  for (const entry of server.history) {
    const { message } = entry;
    if (!message || entry.order <= begin || entry.order > end || heard.includes(entry.order)) continue;
    // Whoever begins nowhere is not told of what was lost before.
    if (cursor === undefined && entry.lost <= connected) continue;
    if (cursor === 'now' && entry.said <= connected) continue;
    const next = told.findIndex((item) => item.what === 'message' && order(item.value.pos) > entry.order);
    const before = told.slice(0, next < 0 ? undefined : next);
    const announced = before.some(
      ({ what, value }) =>
        what === 'gap' &&
        (value.channel ?? message.channel) === message.channel &&
        order(value.from!) < entry.order &&
        order(value.to!) >= entry.order,
    );
    expect(announced, `${first.tab.name}: ${message.channel} ${message.id} at ${message.pos}`).toBe(true);
  }

  for (const user of lasts ? USERS : []) {
    const about = (value: { joined?: string; left?: string }) => value.joined === user || value.left === user;
    const said = server.history.filter((entry) => entry.order > begin && entry.presence && about(entry.presence));
    const latest = said[said.length - 1];
    if (!latest || latest.said <= connected || latest.lost < Infinity) continue;
    const known = told.flatMap((item) => (item.what === 'presence' && about(item.value) ? item.value : []));
    expect(known[known.length - 1], `${first.tab.name}: where ${user} is`).toEqual(latest.presence);
  }
}

test(`${HISTORIES} random histories: each tab hears all, once, in order, or of a hole; and one connection is left`, async () => {
  let one = 0;
  for (let seed = FIRST; seed < FIRST + HISTORIES; seed++) {
    const world = await live(seed);
    try {
      // Whoever sleeps, with the lock in its hands perhaps, keeps nothing from the others.
      rest(world);
      for (const tab of world.tabs) for (const pages of lives(tab)) judge(world, pages);
      wake(world);
      rest(world);
      const there = world.pages.filter(standing);
      expect(world.server.connections.size, 'connections').toBe(Math.min(1, there.length));
      for (const page of there) expect(page.member.state).toEqual({ name: 'connected' });
      world.server.publish('a', 'the end');
      world.pass(60_000);
      // Some leave when they hear it.
      expect(world.server.connections.size, 'connections').toBe(Math.min(1, world.pages.filter(standing).length));
      for (const tab of world.tabs) for (const pages of lives(tab)) judge(world, pages);
      if (there.length > 1) one++;
      expect(world.posts.join().includes(KEY), 'the key in a post').toBe(false);
      for (const tab of world.tabs) expect([...tab.storage.values()].join().includes(KEY), 'the key in storage').toBe(false);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  // Histories in which nobody shares would prove nothing.
  expect(one).toBeGreaterThan(HISTORIES / 2);
}, 600_000);
