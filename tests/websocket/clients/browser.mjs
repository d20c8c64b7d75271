// Opens WebSockets in a page of Chromium, as the argument says, and tells on
// stdout what happens to them: one line of JSON for each event.

import { launch, newPage, site } from '../../../client-js/test/browser/browser.mjs';

const { connections } = JSON.parse(process.argv[2]);
const pages = await site({ '/': '<!doctype html><title>a page</title>' });
const browser = await launch();
process.once('SIGTERM', () => browser.close().then(() => process.exit(0)));
const page = await newPage(browser, `${pages.origin}/`);
await page.exposeFunction('tell', (line) => console.log(line));

await page.evaluate((list) => {
  const tell = (name, event, more) => window.tell(JSON.stringify({ name, event, ...more }));
  const ends = list.map(
    ({ name, url, protocols, hello }) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, protocols);
        socket.onopen = () => {
          tell(name, 'open', { protocol: socket.protocol, extensions: socket.extensions });
          if (hello) socket.send(hello);
        };
        socket.onmessage = ({ data }) => tell(name, typeof data === 'string' ? 'message' : 'binary', { data: String(data) });
        socket.onerror = () => tell(name, 'error', { data: 'the browser does not say' });
        socket.onclose = ({ code, wasClean }) => resolve(tell(name, 'close', { code, clean: wasClean }));
      }),
  );
  return Promise.all(ends);
}, connections);

if (page.errors.length > 0) throw new Error(page.errors.join('\n'));
await browser.close();
await pages.close();
