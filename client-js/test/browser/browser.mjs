// What the tests in this folder share: a real browser, pages in it, and servers for them.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const dist = (name) => readFileSync(new URL(`../../dist/${name}`, import.meta.url));

/** The built files. */
export const SCRIPT = dist('shaveet.js');
export const MODULE = dist('shaveet.mjs');

/** Starts Chromium. The caller closes it. */
export function launch(options = {}) {
  return chromium.launch({
    ...options,
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/**
 * Opens a page in a fresh profile. `page.errors` collects what no page should
 * have: uncaught exceptions, and violations of its content security policy.
 */
export async function newPage(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(String(error)));
  await page.addInitScript(() =>
    addEventListener('securitypolicyviolation', (event) => {
      throw new Error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    }),
  );
  try {
    await page.goto(url);
  } catch (error) {
    await context.close();
    throw error;
  }
  return page;
}

/** Serves on a free port of loopback; `origin` is its address. */
export async function listen(handler, port = 0) {
  const server = createServer(handler);
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    origin: `http://127.0.0.1:${server.address().port}`,
    /** Stops, and cuts what is under way. */
    close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      return closed;
    },
  };
}

const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript', mjs: 'text/javascript' };

/** Serves files: path → text or bytes. `headers` go with every answer. */
export function site(files, headers = {}) {
  return listen((request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    const body = files[pathname];
    if (body === undefined) return response.writeHead(404).end();
    const type = TYPES[pathname.split('.').pop()] ?? TYPES.html;
    response.writeHead(200, { 'Content-Type': type, ...headers }).end(body);
  });
}

/** Waits until `condition` holds; a test fails if it takes longer than `ms`. */
export async function until(condition, ms = 5000, what = condition.toString()) {
  for (const end = Date.now() + ms; ; await new Promise((resolve) => setTimeout(resolve, 10))) {
    if (await condition()) return;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
  }
}
