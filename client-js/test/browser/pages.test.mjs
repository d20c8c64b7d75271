// Pages as applications write them, in a real browser, against a small server.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { launch, listen, MODULE, newPage, site, until } from './browser.mjs';
import { Push } from './push.mjs';

let browser;
let push;
let open = [];

before(async () => (browser = await launch()));
after(() => browser.close());

beforeEach(async () => {
  push = await Push.start();
  push.client('alice', 'k1', 'room');
});
afterEach(async () => {
  for (const { close } of open) await close();
  open = [];
  await push.close();
});

/** A page of an application of 2010, to the letter. */
const page = (flags = '', more = '', id = 'alice', key = 'k1') => `<!DOCTYPE html>
<html><head>
<script src="${push.origin}/static/shaveet.js${flags}"></script>
<script>
  var got = [];
  Shaveet.listenSingle("room", function(m) { got.push(m); });
  Shaveet.listenBulk("*", function(ms) { got.push.apply(got, ms); });
  Shaveet.init("${id}", "${key}");
  ${more}
</script>
</head><body></body></html>`;

/** Opens `files` (or one page) on another origin than the server's. */
async function visit(files, headers) {
  const served = await site(typeof files === 'string' ? { '/': files } : files, headers);
  open.push(served);
  const tab = await newPage(browser, `${served.origin}/`);
  open.unshift({ close: () => tab.context().close() });
  return tab;
}

const texts = (tab) => tab.evaluate(() => got.map((m) => m.payload_raw));
const hears = (tab, ...expected) =>
  until(async () => JSON.stringify(await texts(tab)) === JSON.stringify(expected), 5000, `hears ${expected}`);
const parks = (count = 1) => until(() => push.parked === count, 5000, `${count} parked`);

for (const [name, flags] of [
  ['CORS', ''],
  ['JSONP', '?disableCORS=1'],
]) {
  describe(`by ${name}`, () => {
    test('a page of the original form gets its messages', async () => {
      push.publish('room', 'before');
      const tab = await visit(page(flags));
      await hears(tab, 'before');
      await parks();
      push.publish('room', '{"text": "hello"}', 'bob');
      await hears(tab, 'before', '{"text": "hello"}');
      assert.deepEqual(await tab.evaluate(() => got[1]), {
        id: 2,
        client_id: 'bob',
        payload: { text: 'hello' },
        payload_raw: '{"text": "hello"}',
        channelName: 'room',
      });

      for (const { method, url, headers } of push.polls) {
        assert.equal(method, 'GET', 'no preflight');
        assert.equal(headers['sec-fetch-dest'], flags ? 'script' : 'empty');
        assert.equal(url.searchParams.get('client_id'), 'alice_!!_k1');
      }
      assert.deepEqual(push.others, ['GET /static/shaveet.js']);
      assert.deepEqual(tab.errors, []);
    });

    test('a payload that is code does not run', async () => {
      const payloads = [
        '(function(){window.PWNED=1})()',
        'window.PWNED=1',
        '</script><script>window.PWNED=1</script>',
        ');window.PWNED=1;(',
        '\u2028window.PWNED=1',
        '<img src=x onerror="window.PWNED=1">',
      ];
      const tab = await visit(page(flags));
      await parks();
      payloads.forEach((payload) => push.publish('room', payload));
      await hears(tab, ...payloads);
      assert.deepEqual(await tab.evaluate(() => got.map((m) => m.payload)), payloads.map(() => null));
      assert.equal(await tab.evaluate(() => window.PWNED), undefined);
      assert.deepEqual(tab.errors, []);
    });

    test('it works under a content security policy without eval', async () => {
      const html = page(flags);
      const [, inline] = /<script>([^]*)<\/script>/.exec(html);
      const tab = await visit(
        { '/': html.replace(/<script>[^]*<\/script>/, '<script src="/page.js"></script>'), '/page.js': inline },
        { 'Content-Security-Policy': `default-src 'none'; script-src 'self' ${push.origin}; connect-src ${push.origin}` },
      );
      await parks();
      push.publish('room', '{"a": 1}');
      await hears(tab, '{"a": 1}');
      assert.deepEqual(tab.errors, []);
    });

    test('channels may be called anything', async () => {
      const names = ['__proto__', 'constructor', 'hasOwnProperty', 'error', 'ת\u2028'];
      push.client('alice', 'k1', ...names);
      const tab = await visit(page(flags));
      await parks();
      names.forEach((name) => push.publish(name, name));
      await until(async () => (await texts(tab)).length === names.length);
      assert.deepEqual(
        await tab.evaluate(() => got.map((m) => [m.channelName, m.payload_raw])),
        names.map((name) => [name, name]),
      );
      assert.deepEqual(tab.errors, []);
    });

    test('the file included twice is one client with one loop', async () => {
      const again = `</script><script src="${push.origin}/static/shaveet.js${flags}"></script><script>`;
      const tab = await visit(page(flags, `var first = Shaveet; ${again}`));
      await parks();
      push.publish('room', 'once');
      await hears(tab, 'once');
      assert.equal(await tab.evaluate(() => first === Shaveet), true);
      await parks();
      assert.equal(push.polls.length, 2);
      assert.deepEqual(tab.errors, []);
    });

    test('two clients share a loop, and one that comes later is heard at once', async () => {
      push.client('bob', 'k2', 'other');
      push.client('carol', 'k3', 'third');
      const tab = await visit(page(flags, 'Shaveet.init("bob", "k2");'));
      await parks();
      assert.deepEqual(push.polls.map(({ url }) => url.searchParams.getAll('client_id')), [['alice_!!_k1', 'bob_!!_k2']]);

      await tab.evaluate(() => Shaveet.init('carol', 'k3'));
      await until(() => push.polls.length === 2);
      push.publish('third', 'for carol');
      push.publish('room', 'for alice');
      await until(async () => (await texts(tab)).length === 2);
      assert.deepEqual((await texts(tab)).sort(), ['for alice', 'for carol']);
      assert.deepEqual(tab.errors, []);
    });

    test('a client that is gone is told, and the others go on', async () => {
      push.client('bob', 'k2', 'other');
      const tab = await visit(page(flags, 'var gone = []; Shaveet.onGone(function(id) { gone.push(id); }); Shaveet.init("bob", "k2");'));
      await parks();
      push.kill('alice');
      push.publish('other', '1');
      await until(() => tab.evaluate(() => gone.length === 1));
      assert.deepEqual(await tab.evaluate(() => gone), ['alice']);
      await parks();
      push.publish('other', '2');
      await hears(tab, '1', '2');
      assert.deepEqual(push.polls.at(-1).url.searchParams.getAll('client_id'), ['bob_!!_k2']);
      assert.deepEqual(tab.errors, []);
    });

    test('with its last client gone it falls silent', async () => {
      const tab = await visit(page(flags, '', 'nobody', 'k'));
      await until(() => push.polls.length === 1);
      await tab.waitForTimeout(1500);
      assert.equal(push.polls.length, 1);
      assert.deepEqual(tab.errors, []);
    });

    test('a server that goes away is found again', async () => {
      const tab = await visit(page(flags));
      await parks();
      await push.close();
      await tab.waitForTimeout(200);
      push.publish('room', 'meanwhile');
      await push.listen();
      await hears(tab, 'meanwhile');
      assert.deepEqual(tab.errors, []);
    });

    test('a server that wants to be left alone is', async () => {
      push.failure = { code: 503, type: 'unavailable', retry_ms: 3000 };
      const tab = await visit(page(flags));
      await until(() => push.polls.length === 1);
      push.failure = undefined;
      await tab.waitForTimeout(1300);
      assert.equal(push.polls.length, 1);
      await parks();
    });

    test('stop', async () => {
      const tab = await visit(page(flags));
      await parks();
      await tab.evaluate(() => Shaveet.stop());
      push.publish('room', 'unheard');
      await tab.waitForTimeout(300);
      assert.deepEqual(await texts(tab), []);
      assert.equal(push.polls.length, 1);
      assert.deepEqual(tab.errors, []);
    });
  });
}

describe('CORS', () => {
  test('a parked poll is closed for a new client, and by stop', async () => {
    push.client('bob', 'k2', 'other');
    const tab = await visit(page());
    await parks();
    await tab.evaluate(() => Shaveet.init('bob', 'k2'));
    await until(() => push.polls.length === 2 && !push.polls[0].open);
    await tab.evaluate(() => Shaveet.stop());
    await parks(0);
  });

  test('it stays calm when answers are empty and quick', async () => {
    push.hold = 0;
    const tab = await visit(page());
    await tab.waitForTimeout(1000);
    assert.ok(push.polls.length < 12, `${push.polls.length} polls in a second`);
  });

  test('it polls again as soon as the network is back', async () => {
    const tab = await visit(page());
    await parks();
    await tab.context().setOffline(true);
    await push.close();
    await tab.waitForTimeout(300);
    await push.listen();
    push.publish('room', 'meanwhile');
    await tab.waitForTimeout(1500);
    assert.deepEqual(await texts(tab), []);
    await tab.context().setOffline(false);
    await until(async () => (await texts(tab)).length === 1, 500);
  });
});

describe('JSONP', () => {
  const leftovers = (tab) =>
    tab.evaluate(() => [
      Object.keys(window).filter((name) => /^shaveet_/.test(name)).length,
      document.querySelectorAll('script[src*=message_updates]').length,
    ]);

  test('leaves neither tags nor functions behind', async () => {
    const tab = await visit(page('?disableCORS=1'));
    for (let i = 1; i <= 5; i++) {
      await parks();
      push.publish('room', String(i));
      await until(async () => (await texts(tab)).length === i);
    }
    await parks();
    assert.deepEqual(await leftovers(tab), [1, 1]);
    await tab.evaluate(() => Shaveet.stop());
    assert.deepEqual(await leftovers(tab), [1, 0], 'the function waits for the script');
    push.publish('room', 'late');
    await until(async () => (await leftovers(tab)).join() === '0,0');
    assert.equal((await texts(tab)).length, 5);
    assert.deepEqual(tab.errors, []);
  });

  test('leaves nothing behind when the server is not there', async () => {
    const tab = await visit(page('?disableCORS=1'));
    await parks();
    await push.close();
    await until(async () => (await leftovers(tab)).join() === '0,0');
    await push.listen();
    assert.deepEqual(tab.errors, []);
  });

  /** A page that goes on loading for a while, as pages with pictures do. */
  async function slow(script) {
    const pictures = await listen((request, response) => setTimeout(() => response.writeHead(404).end(), 500));
    open.push(pictures);
    const picture = `<img src="${pictures.origin}">`;
    return visit(page('?disableCORS=1', script).replace('<body>', `<body>${picture}`));
  }

  test('does not keep the page from loading', async () => {
    const began = Date.now();
    const tab = await slow(''); // until the load event
    assert.ok(Date.now() - began < 20_000);
    await parks();
    push.publish('room', 'hello');
    await hears(tab, 'hello');
    assert.deepEqual(tab.errors, []);
  });

  test('stopped before the page has loaded, polls never and leaves nothing behind', async () => {
    const tab = await slow('setTimeout(Shaveet.stop, 100);');
    await tab.waitForTimeout(300);
    assert.equal(push.polls.length, 0);
    assert.deepEqual(await leftovers(tab), [0, 0]);
    assert.deepEqual(tab.errors, []);
  });

  test('a script with status 404 does not run: why errors come with 200', async () => {
    const server = await listen((request, response) =>
      response.writeHead(404, { 'Content-Type': 'text/javascript' }).end('window.ran = true'),
    );
    open.push(server);
    const tab = await visit('<!DOCTYPE html>');
    const event = await tab.evaluate(
      (src) =>
        new Promise((resolve) => {
          const tag = document.createElement('script');
          tag.onload = tag.onerror = ({ type }) => resolve(type);
          tag.src = src;
          document.head.appendChild(tag);
        }),
      server.origin,
    );
    assert.equal(event, 'error');
    assert.equal(await tab.evaluate(() => window.ran), undefined);
  });
});

test('the policy of these tests forbids eval', async () => {
  const tab = await visit(
    { '/': '<!DOCTYPE html><script src="/page.js"></script>', '/page.js': 'eval("window.PWNED=1")' },
    { 'Content-Security-Policy': "default-src 'none'; script-src 'self'" },
  );
  await until(() => tab.errors.length > 0);
  assert.equal(await tab.evaluate(() => window.PWNED), undefined);
});

test('the module works in a page that says where the server is', async () => {
  const tab = await visit({
    '/': `<!DOCTYPE html><script type="module">
      import Default, { Shaveet } from '/shaveet.mjs';
      window.got = [];
      window.same = Default === Shaveet && window.Shaveet === undefined;
      Shaveet.base = '${push.origin}/';
      Shaveet.listenSingle('room', (message) => got.push(message));
      Shaveet.init('alice', 'k1');
    </script>`,
    '/shaveet.mjs': MODULE,
  });
  await parks();
  push.publish('room', 'hello');
  await hears(tab, 'hello');
  assert.equal(await tab.evaluate(() => window.same), true);
  assert.deepEqual(tab.errors, []);
});

test('an element called Shaveet is no obstacle', async () => {
  const tab = await visit(page().replace('<head>', '<head><meta id="Shaveet">'));
  await parks();
  push.publish('room', 'hello');
  await hears(tab, 'hello');
});

test('a script put into the page and taken out again still knows its server', async () => {
  const tab = await visit(`<!DOCTYPE html><script src="${push.origin}/static/shaveet.js" id="s"></script><script>
    document.getElementById('s').remove();
    var got = [];
    Shaveet.listenSingle('room', function(m) { got.push(m); });
    Shaveet.init('alice', 'k1');
  </script>`);
  await parks();
  push.publish('room', 'hello');
  await hears(tab, 'hello');
});
