import { afterEach, describe, expect, test, vi } from 'vitest';
import { share } from '../src/tabs';
import { KEY, Page, settled, type Tab, World } from './tabs-fakes';

const world = () => new World(() => 0);

/** Opens pages one after the other, each when the ones before have come to rest. */
async function open(world: World, count: number, options = {}): Promise<Page[]> {
  const pages: Page[] = [];
  for (let i = 0; i < count; i++) {
    pages.push(await world.tab().load(options));
    world.settle();
  }
  return pages;
}

const heard = (page: Page) => page.told.flatMap(({ what, value }) => (what === 'message' ? value.data : []));
const told = (page: Page, what: string) => page.told.filter((item) => item.what === what).map(({ value }) => value);
const states = (page: Page) => (told(page, 'state') as { name: string }[]).map(({ name }) => name);

/** Who is connected, by their place among the tabs. */
const connected = ({ server, tabs }: World) => [...server.connections].map(({ page }) => tabs.indexOf(page.tab));

function say(world: World, ...values: unknown[]): void {
  for (const value of values) {
    world.server.publish('c', value);
    world.settle();
  }
}

describe('one connection', () => {
  test('is of the tab that came first, and all hear what it hears', async () => {
    const w = world();
    const pages = await open(w, 3);
    expect(connected(w)).toEqual([0]);
    say(w, 1, 2);
    for (const page of pages) {
      expect(heard(page)).toEqual([1, 2]);
      expect(page.member.state).toEqual({ name: 'connected' });
      expect(page.member.transport).toBe('websocket');
    }
    expect(connected(w)).toEqual([0]);
  });

  test('is of one of those that start at once', async () => {
    const w = world();
    const pages = await Promise.all(Array.from({ length: 4 }, () => w.tab().load()));
    w.server.publish('c', 1);
    w.settle();
    w.pass(30_000);
    say(w, 2);
    for (const page of pages) expect(heard(page)).toEqual([1, 2]);
    expect(connected(w)).toHaveLength(1);
  });

  test('goes to the next tab when the first is closed, put away, or killed', async () => {
    for (const leave of ['unload', 'crash', 'hide'] as const) {
      const w = world();
      const pages = await open(w, 3);
      say(w, 1);
      w.tabs[0]![leave]();
      w.server.publish('c', 2);
      w.settle();
      expect(connected(w)).toEqual([1]);
      say(w, 3);
      for (const page of pages.slice(1)) expect(heard(page), leave).toEqual([1, 2, 3]);
    }
  });

  test('is handed over though the last word of the one tab comes after the first of the next', async () => {
    const w = world();
    const [first, second, third] = (await open(w, 3)) as [Page, Page, Page];
    say(w, 1);
    /** Lets everything happen but at the third. */
    const settleOthers = () => {
      for (let task; (task = w.ready().find(({ page }) => page !== third)); ) w.run(task);
    };
    w.server.publish('c', 2);
    settleOthers();
    first.member.close();
    settleOthers();
    w.server.publish('c', 3);
    settleOthers();
    expect(heard(second)).toEqual([1, 2, 3]);
    for (const name of ['tab 1', 'tab 0']) {
      const queue = third.queues.get(name)!;
      expect(queue.length).toBeGreaterThan(0);
      while (queue.length) w.run({ page: third, run: queue.shift()! });
    }
    expect(heard(third)).toEqual([1, 2, 3]);
    expect(connected(w)).toEqual([1]);
    say(w, 4);
    expect(heard(third)).toEqual([1, 2, 3, 4]);
  });

  test('believed to be theirs by two: what one has told is not told again by the other, not even its state', async () => {
    const w = world();
    const [, second] = (await open(w, 2)) as [Page, Page];
    say(w, 1);
    const [one, two, three, four] = [w.server.top, ...[2, 3, 4].map((value) => w.server.publish('c', value))] as const;
    const says = (from: string, state: object, ...messages: (typeof two)[]) => {
      const items = [...messages.map((message) => ['message', message]), ['state', state]];
      [...w.channels][0]!.post({ from, to: { cursor: messages[messages.length - 1]!.pos }, items });
    };
    says(two!.pos, { name: 'connecting' }, three!);
    says(one, { name: 'connected' }, two!, three!, four!);
    const queue = second.queues.get('tab 0')!;
    while (queue.length) w.run({ page: second, run: queue.shift()! });
    expect(heard(second)).toEqual([1, 2, 3, 4]);
    expect(second.member.state).toEqual({ name: 'connected' });
  });

  test('is handed over by close(), which ends that page alone', async () => {
    const w = world();
    const [first, second] = (await open(w, 2)) as [Page, Page];
    first.member.close();
    w.settle();
    say(w, 1);
    expect(first.member.state).toEqual({ name: 'closed', why: 'closed' });
    expect(first.member.transport).toBeUndefined();
    expect(heard(first)).toEqual([]);
    expect(heard(second)).toEqual([1]);
    expect(connected(w)).toEqual([1]);
    second.member.close();
    w.settle();
    expect(connected(w)).toEqual([]);
    for (const page of w.pages) expect([page.timers.length, page.waiting]).toEqual([0, 0]);
    first.member.close();
    expect(told(first, 'state').slice(-1)).toEqual([{ name: 'closed', why: 'closed' }]);
  });

  test('has the name that the page gave it; what fills holes has none', async () => {
    const w = world();
    await open(w, 1, { session: 'mine' });
    const [connection] = [...w.server.connections];
    expect(connection!.options.session).toBe('mine');
    await w.tab().load({ session: 'mine' });
    for (let i = 0; w.server.connections.size < 2; i++) if (!w.step()) throw new Error('it does not connect');
    expect([...w.server.connections].map(({ options }) => options.session)).toEqual(['mine', undefined]);
    w.tabs[0]!.crash();
    w.settle();
    expect([...w.server.connections].map(({ options }) => options.session)).toEqual(['mine']);
  });
});

describe('a tab that comes later', () => {
  test('hears what it would by a connection of its own, and needs one only for a moment', async () => {
    const w = world();
    await open(w, 1);
    say(w, 1, 2);
    const { top } = w.server;
    say(w, 3);
    const all = (await open(w, 1))[0]!;
    const now = (await open(w, 1, { cursor: 'now' }))[0]!;
    const since = (await open(w, 1, { cursor: top }))[0]!;
    expect(connected(w)).toEqual([0]);
    say(w, 4);
    expect(heard(all)).toEqual([1, 2, 3, 4]);
    expect(heard(now)).toEqual([4]);
    expect(heard(since)).toEqual([3, 4]);
  });

  test('needs none at all if it goes on where the others are', async () => {
    const w = world();
    const [, second] = (await open(w, 2, { resume: true })) as [Page, Page];
    say(w, 1);
    w.server.traffic(); // of which the leader learns when it is told
    w.pass(60_000);
    second.tab.unload();
    const before = w.server.opened.length;
    const again = await second.tab.load({ resume: true });
    w.pass(30_000);
    say(w, 2);
    expect(heard(again)).toEqual([2]);
    expect(w.server.opened).toHaveLength(before);
  });

  test('is told of what was lost', async () => {
    const w = world();
    const [, second] = (await open(w, 2, { resume: true })) as [Page, Page];
    say(w, 1);
    second.tab.unload();
    say(w, 2, 3, 4);
    w.server.evict('c', 1);
    const again = await second.tab.load({ resume: true });
    w.settle();
    expect(told(again, 'gap')).toMatchObject([{ channel: 'c', reason: 'count' }]);
    expect(heard(again)).toEqual([4]);
    expect(connected(w)).toEqual([0]);
  });

  test('needs none where nothing has been said yet', async () => {
    const w = world();
    await open(w, 1);
    w.server.traffic();
    w.pass(30_000);
    const pages = await open(w, 2, { cursor: w.server.top });
    say(w, 1);
    for (const page of pages) expect(heard(page)).toEqual([1]);
    expect(w.server.opened).toEqual([w.tabs[0]]);
  });

  test('begins where the page says, whatever was kept', async () => {
    const w = world();
    const [first] = (await open(w, 1, { resume: true })) as [Page];
    const { top } = w.server;
    say(w, 1, 2);
    first.tab.unload();
    const again = await first.tab.load({ resume: true, cursor: top });
    w.settle();
    expect(heard(again)).toEqual([1, 2]);
  });

  test('waits with the others while the server cannot be reached', async () => {
    const w = world();
    w.server.down = true;
    const pages = await open(w, 3);
    w.pass(60_000);
    expect(connected(w)).toEqual([0]);
    w.server.down = false;
    w.server.publish('c', 1);
    w.settle();
    for (const page of pages) expect(heard(page)).toEqual([1]);
    expect(connected(w)).toEqual([0]);
  });
});

describe('a leader that says nothing', () => {
  test('keeps nothing from the others, who share again when it is back', async () => {
    const w = world();
    const pages = await open(w, 3);
    w.tabs[0]!.frozen = true; // with the lock in its hands
    say(w, 1);
    w.pass(25_000);
    for (const page of pages.slice(1)) expect(heard(page)).toEqual([1]);
    say(w, 2);
    for (const page of pages.slice(1)) expect(heard(page)).toEqual([1, 2]);
    w.tabs[0]!.frozen = false;
    w.pass(60_000);
    for (const page of pages) expect(heard(page)).toEqual([1, 2]);
    expect(connected(w)).toEqual([0]);
  });

  test('is found out at once by a tab that somebody looks at', async () => {
    const w = world();
    const [, second] = (await open(w, 2)) as [Page, Page];
    w.tabs[0]!.frozen = true;
    say(w, 1);
    second.happen('seen');
    w.pass(2_000);
    expect(heard(second)).toEqual([1]);
  });

  test('is no leader any more when the lock is taken away', async () => {
    const w = world();
    const pages = await open(w, 2);
    w.steal('shaveet all');
    w.settle();
    w.pass(60_000);
    say(w, 1);
    for (const page of pages) expect(heard(page)).toEqual([1]);
    expect(connected(w)).toEqual([1]);
  });
});

describe('a leader that is not let in', () => {
  test('gives way to others, and follows them', async () => {
    const w = world();
    const [first] = (await open(w, 1, { key: () => 'bad' })) as [Page];
    const [second] = (await open(w, 1, { key: () => 'good' })) as [Page];
    say(w, 1);
    w.server.refuses = (key) => key === 'bad';
    say(w, 2);
    w.pass(60_000);
    say(w, 3);
    for (const page of [first, second]) {
      expect(heard(page)).toEqual([1, 2, 3]);
      expect(page.member.state).toEqual({ name: 'connected' });
    }
    expect(told(first, 'gone')).toEqual(['a']);
    expect(connected(w)).toEqual([1]);
  });

  test('does not ask more often than it would alone', async () => {
    for (const session of [undefined, 'mine']) {
      const w = world();
      w.server.refuses = () => true;
      await open(w, 1, { key: () => KEY, session });
      w.pass(60_000);
      expect(w.server.opened).toHaveLength(1);
    }
  });
});

describe('a tab that was put away', () => {
  test('says so, and goes on where it was', async () => {
    const w = world();
    const [first, second] = (await open(w, 2)) as [Page, Page];
    say(w, 1);
    w.tabs[0]!.hide();
    w.tabs[1]!.hide();
    expect(first.member.state).toEqual({ name: 'waiting', until: Infinity, why: 'hidden' });
    expect(connected(w)).toEqual([]);
    say(w, 2);
    w.tabs[1]!.show();
    w.tabs[0]!.show();
    w.settle();
    say(w, 3);
    for (const page of [first, second]) {
      expect(heard(page)).toEqual([1, 2, 3]);
      expect(states(page).slice(-3)).toEqual(['waiting', 'connecting', 'connected']);
    }
    expect(connected(w)).toHaveLength(1);
  });
});

describe('a tab that came further without a word', () => {
  test.each<[string, number, (tab: Tab) => Page | Promise<Page>]>([
    ['is put away', 0, (tab) => (tab.hide(), tab.show(), tab.page!)],
    ['is loaded again', 0, (tab) => (tab.unload(), tab.load({ resume: true }))],
    ['is killed a while later, and loaded again', 20_000, (tab) => (tab.crash(), tab.load({ resume: true }))],
  ])('and %s is told of no hole behind it', async (_, ms, happens) => {
    const w = world();
    const [page] = (await open(w, 1, { resume: true })) as [Page];
    say(w, 1);
    w.server.traffic();
    const [connection] = [...w.server.connections];
    w.run({ page, run: () => connection!.step(1, 1) });
    w.pass(ms);
    w.server.evictTraffic('c');
    const then = await happens(page.tab);
    w.settle();
    expect(then.member.state).toEqual({ name: 'connected' });
    expect(told(then, 'gap')).toEqual([]);
    say(w, 2);
    expect(heard(then).slice(-1)).toEqual([2]);
  });
});

describe('what else is told', () => {
  test('that another tab has to connect', async () => {
    const w = world();
    const pages = await open(w, 3);
    w.server.down = true;
    w.tabs[0]!.crash();
    w.settle();
    for (const page of pages.slice(1)) {
      expect(page.member.state).toEqual({ name: 'connecting' });
      expect(page.member.transport).toBeUndefined();
    }
  });

  test('holes, comings and goings, and states, in all tabs', async () => {
    const w = world();
    const pages = await open(w, 2);
    say(w, 1);
    [...w.server.connections][0]!.drop();
    w.pages[0]!.drain();
    while (w.pages[1]!.member.state.name === 'connected') w.step();
    for (const page of pages) expect(page.member.state).toMatchObject({ name: 'waiting', why: 'network' });
    w.server.publish('c', 2);
    w.server.evict('c', 0);
    w.server.presence({ joined: 'bob' });
    w.settle();
    for (const page of pages) {
      expect(told(page, 'gap')).toMatchObject([{ channel: 'c', reason: 'count' }]);
      expect(told(page, 'presence')).toMatchObject([{ joined: 'bob' }]);
      expect(states(page).slice(-3)).toEqual(['connected', 'waiting', 'connected']);
    }
  });

  test('a client that is gone, with constant keys: each tab tries its own, and ends', async () => {
    const w = world();
    const pages = await open(w, 3);
    w.server.refuses = () => true;
    say(w, 1);
    w.pass(60_000);
    for (const page of pages) {
      expect(page.member.state).toEqual({ name: 'closed', why: 'gone' });
      expect(told(page, 'gone')).toEqual(['a']);
      expect(page.timers).toEqual([]);
    }
    expect(connected(w)).toEqual([]);
  });

  test('a newer key in another tab keeps that tab', async () => {
    const w = world();
    await open(w, 2);
    const [newer] = (await open(w, 1, { key: 'newer' })) as [Page];
    w.server.refuses = (key) => key === KEY;
    say(w, 1);
    w.pass(60_000);
    expect(w.pages.map((page) => page.member.state.name)).toEqual(['closed', 'closed', 'connected']);
    expect(heard(newer)).toEqual([1]);
    expect(told(newer, 'gone')).toEqual([]);
  });

  test('a client that is gone, with functions: all are told, and somebody gets in again', async () => {
    const w = world();
    const pages = await open(w, 3, { key: () => KEY });
    let refusals = 2;
    w.server.refuses = () => refusals-- > 0;
    say(w, 1);
    w.pass(60_000);
    for (const page of pages) {
      expect(told(page, 'gone')).toContain('a');
      expect(heard(page)).toEqual([1]);
      expect(page.member.state).toEqual({ name: 'connected' });
    }
    expect(connected(w)).toHaveLength(1);
  });

  test('a client that is gone: where nobody asked, the console knows', async () => {
    const w = world();
    const [page] = (await open(w, 1)) as [Page];
    for (const undo of page.undo) undo();
    w.server.refuses = () => true;
    say(w, 1);
    w.pass(60_000);
    expect(page.reports).toEqual(['Shaveet: client a is gone']);
    expect(page.told).toMatchObject([{ what: 'state', value: { name: 'connected' } }]);
  });

  test('who has gone since is not told to have come', async () => {
    const w = world();
    const [first, second] = (await open(w, 2)) as [Page, Page];
    first.tab.frozen = true;
    w.server.presence({ joined: 'bob' });
    w.server.publish('c', 1);
    w.pass(25_000); // the second is alone now
    w.server.presence({ left: 'bob' });
    w.server.publish('c', 2);
    w.settle();
    // The first hears half of it, says so, and that is the last of it.
    first.tab.frozen = false;
    const [late] = [...w.server.connections].filter(({ page }) => page === first);
    w.run({ page: first, run: () => late!.step(1, 1) });
    expect(heard(first)).toEqual([1]);
    first.tab.frozen = true;
    w.settle();
    const who = () => (told(second, 'presence') as { joined?: string }[]).map(({ joined }) => !!joined);
    expect(who()).toEqual([true, false]);
    first.tab.frozen = false;
    w.pass(60_000);
    expect(who().slice(-1)).toEqual([false]);
    expect(connected(w)).toEqual([0]);
  });
});

describe('listeners', () => {
  test('* is for channels without one; undo takes back; a throw disturbs nobody', async () => {
    const w = world();
    const [page, other] = (await open(w, 2)) as [Page, Page];
    const mine: unknown[] = [];
    const undo = page.member.on('d', ({ data }) => mine.push(data));
    page.member.on('d', () => {
      throw new Error('listener');
    });
    w.server.publish('d', 1);
    w.settle();
    expect(mine).toEqual([1]);
    expect(heard(page)).toEqual([]);
    expect(heard(other)).toEqual([1]);
    expect(page.reports).toHaveLength(1);
    undo();
    w.server.publish('d', 2);
    w.settle();
    expect(mine).toEqual([1]);
  });

  test('one that closes hears no more, and what it has not heard comes after a reload', async () => {
    const w = world();
    w.dice = () => 0.99; // all that is there comes together
    const [first, second] = (await open(w, 2, { resume: true })) as [Page, Page];
    for (const page of [first, second]) page.member.on('*', ({ data }) => data === 2 && page.member.close());
    for (const value of [1, 2, 3, 4]) w.server.publish('c', value);
    w.settle();
    for (const page of [first, second]) {
      expect(heard(page)).toEqual([1, 2]);
      expect(page.member.state.name).toBe('closed');
      page.tab.unload();
      const again = await page.tab.load({ resume: true });
      w.settle();
      expect(heard(again)).toEqual([3, 4]);
      expect(told(again, 'gap')).toEqual([]);
    }
  });
});

describe('a page that ends it', () => {
  /** Whatever happens now, nothing of it is left. */
  const over = (w: World, page: Page) => {
    for (let i = 0; i < 5; i++) w.pass(30_000);
    expect([page.member.state.name, page.timers.length, page.waiting]).toEqual(['closed', 0, 0]);
    expect([...w.server.connections].filter((connection) => connection.page === page)).toEqual([]);
  };
  const closesAt = (page: Page, name: string) => {
    const undo = page.member.onState((state) => {
      if (state.name !== name) return;
      undo();
      page.member.close();
    });
  };

  test('when it has to connect by itself, has ended', async () => {
    const w = world();
    const [first, second] = (await open(w, 2)) as [Page, Page];
    closesAt(second, 'connecting');
    first.tab.frozen = true;
    w.pass(60_000);
    first.tab.crash();
    over(w, second);
  });

  test('when it may not wait for the lock, has ended', async () => {
    const w = world();
    await open(w, 1);
    const page = new Page(w.tab(), { share: 'all', clientId: 'a', key: KEY });
    let refuse = () => {};
    page.lock = (_name, _granted, refused) => {
      refuse = refused;
      return () => {};
    };
    page.tab.page = page;
    await page.share();
    w.pass(30_000);
    expect([page.member.state.name, connected(w)]).toEqual(['connected', [0]]);
    closesAt(page, 'connecting');
    refuse();
    over(w, page);
  });

  test('when it is back, has ended', async () => {
    const w = world();
    const [page] = (await open(w, 1)) as [Page];
    page.tab.hide();
    closesAt(page, 'connecting');
    page.tab.show();
    over(w, page);
  });

  test('when it hears the last while it is put away, has ended', async () => {
    const w = world();
    const [first, second] = (await open(w, 2)) as [Page, Page];
    first.tab.frozen = true;
    w.pass(25_000);
    second.member.on('c', () => second.member.close());
    w.server.traffic();
    const from = w.server.top;
    const pos = from.replace(/\d+$/, (seq) => String(Number(seq) + 1));
    const message = { channel: 'c', id: 1, pos, sender: 'x', data: null, time: 0 };
    [...w.channels][0]!.post({ from, to: { cursor: pos }, items: [['message', message]] });
    w.settle();
    w.pass(20_000); // now it has come to where that begins, without a word
    expect(told(second, 'message')).toEqual([]);
    second.tab.hide();
    expect(second.member.state).toEqual({ name: 'closed', why: 'closed' });
    over(w, second);
  });

  test('when the client is gone, is told so once', async () => {
    const w = world();
    const [, second] = (await open(w, 2)) as [Page, Page];
    second.member.onGone(() => second.member.close());
    const { top } = w.server;
    const gone = { from: top, to: { cursor: top }, items: [['gone', 'a'], ['gone', 'a']] };
    [...w.channels][0]!.post(gone);
    w.settle();
    expect(told(second, 'gone')).toEqual(['a']);
    over(w, second);
  });
});

describe('what throws', () => {
  test('connect: it is reported, and all is over', async () => {
    const w = world();
    const page = new Page(w.tab(), { share: 'all', clientId: 'a', key: KEY });
    page.connect = () => {
      throw new Error('none of the transports exists here');
    };
    page.tab.page = page;
    await page.share();
    w.pass(60_000);
    expect(page.reports).toEqual([new Error('none of the transports exists here')]);
    expect(told(page, 'state')).toEqual([{ name: 'closed', why: 'closed' }]);
    expect([page.timers.length, page.waiting, [...page.tab.storage.keys()]]).toEqual([0, 0, []]);
    const [next] = await open(w, 1);
    expect(next!.member.state.name).toBe('connected');
  });

  test('what cannot be posted is heard all the same, in every tab', async () => {
    const w = world();
    const pages = await open(w, 2);
    const [channel] = [...w.channels];
    const { post } = channel!;
    channel!.post = () => {
      throw new Error('DataCloneError');
    };
    say(w, 1);
    channel!.post = post;
    say(w, 2);
    w.pass(60_000);
    for (const page of pages) expect([heard(page), told(page, 'gap')]).toEqual([[1, 2], []]);
    expect(pages[0]!.reports).toEqual([new Error('DataCloneError')]);
    expect(connected(w)).toEqual([0]);
  });
});

describe('what is kept', () => {
  const shelves = (tab: Tab) => [...tab.storage.keys()];
  /** Lets a tab keep no more, but so many values: what is there stays. */
  const fill = (tab: Tab, room = 0) => {
    const { store } = tab;
    tab.store = (key, value) => (value === undefined || room-- > 0) && store.call(tab, key, value);
  };

  test('by a tab is no more than its place, in the form of connections, and only if it asks for it', async () => {
    const w = world();
    const [kept, not] = [await w.tab().load({ resume: true }), await w.tab().load()];
    const named = await w.tab().load({ resume: 'mine' });
    w.settle();
    say(w, 1);
    for (const page of [kept, not, named]) page.member.close();
    expect(shelves(kept.tab)).toEqual(['shaveet all']);
    expect(shelves(named.tab)).toEqual(['shaveet mine']);
    expect(shelves(not.tab)).toEqual([]);
    expect(kept.tab.stored('shaveet all')).toEqual({ cursor: w.server.top, channels: [], session: expect.stringMatching(/^\w+$/) });
  });

  test('goes to the next leader with all that was known of the channels', async () => {
    const w = world();
    await open(w, 2);
    const [leader] = [...w.server.connections];
    leader!.channels = [['c', { id: 7 }]];
    say(w, 1);
    w.tabs[0]!.unload();
    w.settle();
    const [next] = [...w.server.connections];
    expect(next!.started).toMatchObject({ cursor: w.server.top, channels: [['c', { id: 7 }]] });
  });

  test('where nothing can be kept, a tab still goes on where it was', async () => {
    const w = world();
    const pages = await open(w, 2);
    say(w, 1);
    const [, tab] = w.tabs as [Tab, Tab];
    tab.store = () => {};
    w.tabs[0]!.unload();
    w.settle();
    say(w, 2);
    expect(heard(pages[1]!)).toEqual([1, 2]);
    expect([...w.server.connections][0]!.options).toMatchObject({ cursor: expect.stringMatching(/\./) });
  });

  test('where the leader can keep no more, the others go on', async () => {
    const w = world();
    const pages = await open(w, 3);
    w.tabs[0]!.store = () => {};
    const before = w.server.opened.length;
    say(w, 1, 2, 3);
    for (const page of pages) expect(heard(page)).toEqual([1, 2, 3]);
    expect(w.server.opened).toHaveLength(before);
    w.tabs[0]!.unload();
    say(w, 4);
    for (const page of pages.slice(1)) expect(heard(page)).toEqual([1, 2, 3, 4]);
  });

  test.each<[string, (tabs: Tab[]) => void]>([
    ['another one leads', ([first]) => first!.unload()],
    ['it is put away, and comes back', ([first]) => (first!.hide(), first!.show())],
  ])('and can be no more, while the server forgets all, is not gone back to when %s', async (_, happens) => {
    const w = world();
    const pages = await open(w, 2);
    say(w, 1);
    fill(w.tabs[0]!);
    w.server.restart();
    for (const connection of w.server.connections) connection.drop();
    say(w, 2, 3);
    happens(w.tabs);
    w.settle();
    w.pass(60_000);
    say(w, 4);
    for (const page of pages.filter(({ alive }) => alive)) {
      expect(heard(page)).toEqual([1, 2, 3, 4]);
      expect(told(page, 'gap')).toHaveLength(1);
    }
  });

  test('and can be no more since it connects by itself, while the server forgets all, is not gone back to', async () => {
    const w = world();
    const [, second] = (await open(w, 2)) as [Page, Page];
    say(w, 1);
    fill(second.tab, 1);
    w.server.restart();
    w.server.publish('c', 2);
    w.tabs[0]!.frozen = true;
    w.pass(25_000);
    expect(heard(second)).toEqual([1, 2]);
    second.tab.hide();
    second.tab.show();
    say(w, 3);
    w.pass(25_000);
    expect(heard(second)).toEqual([1, 2, 3]);
    expect(told(second, 'gap')).toHaveLength(1);
  });

  test('is all that was known, for a page that leaves when it hears of a hole', async () => {
    const w = world();
    const [page] = (await open(w, 1, { resume: true })) as [Page];
    const [connection] = [...w.server.connections];
    connection!.channels = [['c', { id: 1 }]];
    say(w, 1);
    const { cursor, channels } = page.tab.stored('shaveet all')!;
    page.member.onGap(() => page.member.close());
    w.server.publish('c', 2);
    w.server.publish('c', 3);
    w.server.evict('c', 1);
    w.settle();
    expect(page.member.state.name).toBe('closed');
    expect(page.tab.stored('shaveet all')).toMatchObject({ cursor, channels });
  });

  test('never has the key, nor does what goes between tabs', async () => {
    const w = world();
    await open(w, 3, { resume: true });
    say(w, 1);
    w.tabs[0]!.unload();
    w.settle();
    say(w, 2);
    expect(w.posts.length).toBeGreaterThan(5);
    expect(w.posts.join()).not.toContain(KEY);
    for (const tab of w.tabs) expect([...tab.storage.values()].join()).not.toContain(KEY);
  });
});

describe('a name', () => {
  const names = async (options: object) => {
    const w = world();
    const page = await w.tab().load({ share: undefined, ...options });
    w.settle();
    return { names: w.names, page, w };
  };

  test.each([
    [{ url: 'http://push' }, 'http://push a'],
    [{ url: 'http://push/' }, 'http://push a'],
    [{ url: 'http://push//', clientId: 'a/' }, 'http://push a/'],
    [{ url: () => 'http://push', clientId: async () => 'b' }, 'http://push b'],
    [{}, 'http://script a'],
    [{ url: '' }, ' a'],
    [{ share: 'us' }, 'us'],
    [{ share: 'us/' }, 'us/'],
  ])('of %o is %s', async (options, name) => {
    expect((await names(options)).names).toEqual([`shaveet tabs 1 ${name}`, `shaveet ${name}`]);
  });

  test('of another client or server: these do not share', async () => {
    const w = world();
    for (const options of [{ clientId: 'a' }, { clientId: 'b' }, { clientId: 'a/' }, { clientId: 'a', url: 'http://other' }]) {
      await w.tab().load({ url: 'http://push', share: undefined, ...options });
    }
    w.settle();
    expect(connected(w)).toEqual([0, 1, 2, 3]);
  });

  test('that cannot be told now is asked for again', async () => {
    let asked = 0;
    const clientId = () => {
      asked++;
      if (asked === 1) return Promise.reject(new Error('not now'));
      if (asked === 2) return new Promise<string>(() => {});
      return 'b';
    };
    const { page, w } = await names({ url: 'http://push', clientId });
    expect(page.reports).toEqual([new Error('not now')]);
    expect(page.member.state).toEqual({ name: 'connecting' });
    w.pass(20_000);
    expect(w.names).toEqual([]);
    w.pass(20_000);
    await settled();
    w.settle();
    expect(asked).toBe(3);
    expect(w.names).toEqual(['shaveet tabs 1 http://push b', 'shaveet http://push b']);
    expect(page.member.state).toEqual({ name: 'connected' });
  });

  test.each<object>([
    { clientId: () => undefined },
    { clientId: async () => null },
    { clientId: '' },
    { url: () => undefined },
    { url: async () => null },
  ])('of %o is none, until there is more: others who do not know it yet are not we', async (options) => {
    const { names: none, page, w } = await names({ url: 'http://push', ...options });
    w.pass(10_000);
    expect(none).toEqual([]);
    expect(page.reports).toEqual([new Error('no url or id')]);
    expect(w.server.opened).toEqual([]);
  });

  test('that nobody tells is a mistake, as with connect', async () => {
    const page = new Page(world().tab(), { clientId: 'a', key: 'k' });
    page.scripts = () => [];
    await expect(page.share()).rejects.toThrow('url is not set');
  });

  test('that comes when the page is put away, or closed, waits for it, or is for nothing', async () => {
    let tell = (_: string) => {};
    const clientId = () => new Promise<string>((resolve) => (tell = resolve));
    const { page, w } = await names({ clientId });
    page.tab.hide();
    tell('b');
    await settled();
    expect(w.names).toEqual([]);
    page.tab.show();
    w.settle();
    expect(w.names).toHaveLength(2);

    const other = await names({ clientId });
    other.page.member.close();
    tell('b');
    await settled();
    other.w.pass(60_000);
    expect(other.w.names).toEqual([]);
  });
});

describe('where tabs cannot share', () => {
  afterEach(() => vi.unstubAllGlobals());

  test('share is connect', () => {
    const options = { url: 'http://push', clientId: 'a', key: 'k' };
    const connection = {} as never;
    const connect = vi.fn(() => connection);
    expect(share(connect, options)).toBe(connection); // Node has no page
    const all = { document: {}, navigator: { locks: {} }, BroadcastChannel: class {}, sessionStorage: {} };
    for (const missing of Object.keys(all)) {
      for (const [name, value] of Object.entries(all)) vi.stubGlobal(name, name === missing ? undefined : value);
      expect(share(connect, options), missing).toBe(connection);
    }
    vi.stubGlobal('navigator', {});
    expect(share(connect, options)).toBe(connection);
    expect(connect).toHaveBeenCalledTimes(6);
    expect(connect).toHaveBeenLastCalledWith(options);
  });
});
