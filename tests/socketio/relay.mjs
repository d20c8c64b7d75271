// A wire between a client and a server that can be cut, or be long. Pages can come
// from it too, to be the server's own for a browser.

import { connect, createServer } from 'node:net';

export class Relay {
  #server;
  #sockets = new Set();

  /**
   * Each connection takes a while of its own each way: none, or up to so many
   * ms. Files are by path, and stay the relay's own.
   */
  static async start(target, { upTo = 0, files = {} } = {}) {
    const relay = new Relay();
    const { hostname, port } = new URL(target);
    relay.#server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (begun) => {
        const body = files[begun.toString('latin1').split(' ', 2)[1]];
        if (body) return socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`), body]));
        const upstream = connect(port, hostname);
        const ms = upTo * Math.random();
        relay.#take(socket, upstream, ms);
        socket.emit('data', begun);
      });
    });
    await new Promise((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    relay.base = `http://127.0.0.1:${relay.#server.address().port}`;
    return relay;
  }

  #take(socket, upstream, ms) {
    // Timers of the same length fire in order.
    const later = ms === 0 ? (what) => what() : (what) => setTimeout(what, ms);
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ]) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('data', (data) => from.mute || later(() => to.write(data)));
      from.on('end', () => from.mute || later(() => to.end()));
      from.on('close', () => {
        this.#sockets.delete(from);
        if (!from.mute) later(() => to.destroy());
      });
    }
  }

  /** Cuts every connection, for both ends to see; new ones are let through. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Lets nothing through any more, and neither end know; new connections are let through. */
  mute() {
    for (const socket of this.#sockets) socket.mute = true;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
