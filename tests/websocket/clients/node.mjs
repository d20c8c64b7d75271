// Opens WebSockets by the npm module ws, as the argument says, and tells on
// stdout what happens to them: one line of JSON for each event.

import WebSocket from 'ws';

const { connections, compression } = JSON.parse(process.argv[2]);
const tell = (name, event, more) => console.log(JSON.stringify({ name, event, ...more }));

for (const { name, url, protocols, hello } of connections) {
  const socket = new WebSocket(url, protocols, { perMessageDeflate: compression });
  socket.on('open', () => {
    tell(name, 'open', { protocol: socket.protocol, extensions: socket.extensions });
    if (hello) socket.send(hello);
  });
  socket.on('message', (data, isBinary) => tell(name, isBinary ? 'binary' : 'message', { data: String(data) }));
  socket.on('ping', () => tell(name, 'ping'));
  socket.on('close', (code) => tell(name, 'close', { code, clean: true }));
  socket.on('error', (error) => tell(name, 'error', { data: String(error) }));
}
