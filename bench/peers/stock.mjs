// The stock Socket.IO server as a target of shaveet bench:
//
//   npm --prefix bench/peers ci
//   node bench/peers/stock.mjs PORT
//   shaveet bench --target socketio --url http://127.0.0.1:PORT/ --transport socketio
//
// Sockets join the rooms that they name in auth.rooms, and the body of
// POST /pub?room=NAME, which is JSON, is said to a room as the event "message".
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    if (request.method !== 'POST' || url.pathname !== '/pub') {
      response.writeHead(404).end();
      return;
    }
    io.to(url.searchParams.get('room')).emit('message', JSON.parse(body));
    response.writeHead(204).end();
  });
});
const io = new Server(server, { perMessageDeflate: false, serveClient: false });
io.on('connection', (socket) => socket.join(socket.handshake.auth.rooms));
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening', server.address().port));
