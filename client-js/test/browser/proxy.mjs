// What may stand between a page and the program, and what it may do to them.

import { connect, createServer } from 'node:net';

const END = '\r\n\r\n';

/**
 * A proxy in front of a program. `rule` gets the path of each request, and its
 * query, and says what becomes of it:
 *
 * - `pass`: nothing;
 * - a status: it is answered with that;
 * - `mute`: the head of the answer passes, and then nothing more, either way;
 * - `hoard`: the answer is kept back until it has come to its end.
 */
export class Proxy {
  rule = (_path, _query) => 'pass';
  /** Paths of the requests that came, in order. */
  paths = [];
  #server;
  #sockets = new Set();

  static async start(target) {
    const proxy = new Proxy();
    const { port } = new URL(target);
    proxy.#server = createServer((socket) => proxy.#take(socket, port));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.origin = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Cuts all that is under way. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    return closed;
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
  }

  /** Deals with one connection, which carries one request: each is asked to close. */
  #take(socket, port) {
    this.#keep(socket);
    let begun = Buffer.alloc(0);
    const gather = (piece) => {
      begun = Buffer.concat([begun, piece]);
      const end = begun.indexOf(END);
      if (end < 0) return;
      socket.off('data', gather);
      const head = begun.subarray(0, end).toString('latin1');
      const [path, query = ''] = head.split(' ')[1].split('?');
      this.paths.push(path);
      const rule = this.rule(path, query);
      if (typeof rule === 'number') {
        socket.end(`HTTP/1.1 ${rule} No\r\nContent-Length: 0\r\nConnection: close${END}`);
        return;
      }
      const upgrade = /^upgrade:/im.test(head);
      const sent = upgrade ? head : `${head.replace(/^connection:.*\r\n/im, '')}\r\nConnection: close`;
      const upstream = connect(port, '127.0.0.1');
      this.#keep(upstream);
      upstream.write(sent + END, 'latin1');
      upstream.write(begun.subarray(end + END.length));
      this.#join(socket, upstream, rule);
    };
    socket.on('data', gather);
  }

  #join(socket, upstream, rule) {
    const close = () => {
      socket.destroy();
      upstream.destroy();
    };
    socket.on('close', close);
    upstream.on('error', close);
    if (rule === 'pass') {
      socket.pipe(upstream);
      upstream.pipe(socket);
      return;
    }
    let answer = Buffer.alloc(0);
    let headed = false;
    if (rule === 'hoard') socket.pipe(upstream);
    else socket.resume();
    upstream.on('data', (piece) => {
      if (headed) return;
      answer = Buffer.concat([answer, piece]);
      const end = answer.indexOf(END);
      if (rule === 'hoard' || end < 0) return;
      headed = true;
      socket.write(answer.subarray(0, end + END.length));
    });
    upstream.on('end', () => socket.end(rule === 'hoard' ? answer : undefined));
  }
}
