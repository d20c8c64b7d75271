// Runs the cases of the protocols against a conformance server:
//
//	node cases.mjs http://127.0.0.1:3000 [--eio3] [--stock] [words of a case's name]
//
// These are our own words for what the test suites of Engine.IO and Socket.IO
// ask, and more.

import { engineCases } from './cases_engine.mjs';
import { moreCases } from './cases_more.mjs';
import { socketCases } from './cases_socket.mjs';
import { Door, run } from './wire.mjs';

const flags = process.argv.filter((word) => word.startsWith('--'));
const [base, only] = process.argv.slice(2).filter((word) => !word.startsWith('--'));

const under = (where, cases) => cases.map(([name, play]) => [`${where}: ${name}`, play]);
const door = (path, eio) => {
  const one = new Door(base, path, eio);
  // A stock server's timer fires when it fires.
  if (flags.includes('--stock')) one.slack = 100;
  return one;
};
const echo = door('/engine.io/');
const socketIO = door('/socket.io/');

const all = flags.includes('--eio3')
  ? under('Engine.IO 3', engineCases(door('/engine.io/', 3), true))
  : [
      ...under('Engine.IO', engineCases(echo, true)),
      ...under('Engine.IO, more', moreCases(echo)),
      ...under('Engine.IO of Socket.IO', engineCases(socketIO, false)),
      ...under('Socket.IO', socketCases(socketIO)),
    ];

process.exit((await run(base, all, only)) ? 1 : 0);
