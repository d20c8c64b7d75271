/**
 * The module form of the client:
 *
 *     import { connect } from 'shaveet';
 *
 *     const connection = connect({ url: 'https://push.example.org', clientId, key });
 *     connection.on('room', (message) => show(message.data));
 *
 * and, for pages written for the original,
 *
 *     import { Shaveet } from 'shaveet';
 *
 *     Shaveet.base = 'https://push.example.org';
 *     Shaveet.listenSingle('room', (message) => show(message.payload));
 *     Shaveet.init(id, key);
 */

import { createClient } from './client';
import { browser } from './environment';
import type { Connection, ConnectOptions, Page } from './types';

export type * from './types';

export type Shaveet = Page;

/** The client of this page. */
export const Shaveet: Shaveet = createClient(browser());

/** The same as `Shaveet.connect`. */
export const connect: (options: ConnectOptions) => Connection = Shaveet.connect;

export default Shaveet;
