// A program that reads: what it hears it prints, a JSON text on each line. Its
// options come as JSON, and it ends when its input does.

import { connect } from 'shaveet';

const print = (what, value) => console.log(JSON.stringify([what, value]));

const options = JSON.parse(process.argv[2]);
const key = async () => (await fetch(options.keys)).text();
const connection = connect({ key, ...options });
connection.on('*', ({ data, event, args, volatile }) => print('message', event === undefined ? data : { event, args, volatile }));
connection.onGap(({ reason }) => print('gap', reason));
connection.onGone((id) => print('gone', id));
connection.onState((state) => print(state.name, state.why ?? connection.transport));
process.stdin.resume().on('end', () => connection.close());
process.stdin.unref();
