// The real program, for tests that must see it through a browser.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './browser.mjs';

/** What may take long on a busy machine; where all is well nobody waits for it. */
export const PATIENCE = 20_000;

const built = new Map();

/** Builds a program of ours, and returns its path. */
function build(source) {
  if (!built.has(source)) {
    const dir = mkdtempSync(join(tmpdir(), 'shaveet-browser-'));
    process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
    const root = fileURLToPath(new URL('../../../', import.meta.url));
    execFileSync('go', ['build', '-o', join(dir, 'program'), source], { cwd: root, stdio: 'inherit' });
    built.set(source, join(dir, 'program'));
  }
  return built.get(source);
}

/** The path of the program: SHAVEET_BIN, or one built now. */
const binary = () => process.env.SHAVEET_BIN || build('./cmd/shaveet');

/** A chat beside a program, until the test ends. */
async function chat(program) {
  const port = await freePort();
  const child = spawn(build('./examples/chat/go'), {
    env: { ...environment(), PORT: port, SHAVEET_RPC: program.admin, SHAVEET_PUBLIC: program.public },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const abandoned = () => child.kill('SIGKILL');
  process.once('exit', abandoned);
  child.once('close', () => process.off('exit', abandoned));
  const page = `http://127.0.0.1:${port}/`;
  await until(() => fetch(page).then((r) => r.ok, () => false), PATIENCE, 'the chat is ready');
  return { page, end: abandoned };
}

/** The program reads its settings from SHAVEET_…, which must not be ours. */
const environment = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SHAVEET_')));

/**
 * A free port. It is below those that systems give to whoever connects: while
 * the program is down between two runs, nobody takes it by accident.
 */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const free = await new Promise((resolve) =>
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)),
    );
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}

let calls = 0;

/** A Shaveet on ports of its own, which stay the same when it is started again. */
export class Program {
  #command;
  #flags;
  #child;
  #ended;
  #output = '';

  /** Starts `shaveet serve` with these flags and those for its doors; as `chat` with the chat of the examples at `page`. */
  static async start(command, ...flags) {
    for (let tries = 3; ; tries--) {
      const program = new Program();
      await program.#settle(command, flags);
      try {
        await program.start();
        if (command === 'chat') Object.assign(program, { chat: await chat(program) });
        program.page = program.chat?.page;
        return program;
      } catch (error) {
        program.#child?.kill('SIGKILL');
        // Somebody else who tests has found the port free as well.
        if (tries === 1 || !String(error).includes('address already in use')) throw error;
      }
    }
  }

  async #settle(command, flags) {
    this.#command = command === 'chat' ? 'serve' : command;
    this.#flags = [...flags];
    const door = async (flag) => {
      const address = `127.0.0.1:${await freePort()}`;
      this.#flags.push(flag, address);
      return `http://${address}`;
    };
    this.admin = `${await door('--listen')}/`;
    this.public = await door('--public-listen');
  }

  async start() {
    const child = spawn(binary(), [this.#command, ...this.#flags], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.#output = '';
    const gather = (text) => (this.#output += text);
    child.stdout.setEncoding('utf8').on('data', gather);
    child.stderr.setEncoding('utf8').on('data', gather);
    const abandoned = () => child.kill('SIGKILL');
    process.once('exit', abandoned);
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => resolve({ error }));
      child.once('close', (code, signal) => resolve({ code, signal }));
    }).finally(() => process.off('exit', abandoned));

    let ended;
    this.#ended.then((how) => (ended = how));
    await until(
      () => {
        assert.equal(ended, undefined, `the program has ended: ${this.#output}`);
        return this.#ready();
      },
      PATIENCE,
      'the program is ready',
    );
  }

  async #ready() {
    const urls = [`${this.admin}readyz`, `${this.public}/readyz`];
    const answers = await Promise.all(urls.map((url) => fetch(url).then(async (r) => (await r.text(), r.ok)).catch(() => false)));
    return answers.every(Boolean);
  }

  /** Sends a signal and waits for the end, of which it tells the code or signal, and the time in ms. */
  async end(signal = 'SIGKILL') {
    const began = Date.now();
    this.#child.kill(signal);
    let late;
    const timeout = new Promise((_, reject) => {
      late = setTimeout(() => reject(new Error(`${signal} did not end it: ${this.#output}`)), PATIENCE);
    });
    const how = await Promise.race([this.#ended, timeout]).finally(() => clearTimeout(late));
    return { ...how, ms: Date.now() - began, output: this.#output };
  }

  /** Posts a body to the admin API. */
  async post(body) {
    const response = await fetch(this.admin, { method: 'POST', body });
    assert.equal(response.status, 200);
    return response.text();
  }

  /** Calls a method as backends of 2010 do: no version, and nothing beside id and result where all went well. */
  async call(method, ...params) {
    const id = ++calls;
    const answer = JSON.parse(await this.post(JSON.stringify({ method, params, id })));
    assert.deepEqual(answer, { result: answer.result, id }, method);
    return answer.result;
  }

  publish(channel, message, sender = 'node') {
    return this.call('new_message', sender, message, channel, false);
  }

  /** How many polls are held. */
  async held() {
    return (await this.call('info')).counts.sessions;
  }
}
