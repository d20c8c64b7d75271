/**
 * One connection for all tabs of a browser:
 *
 *     import { connect } from 'shaveet';
 *     import { share } from 'shaveet/tabs';
 *
 *     const connection = share(connect, { url: 'https://push.example.org', clientId, key });
 *
 * `connect` is given and not imported. So this file is small whatever it is
 * used with: the module, the `Shaveet.connect` of the script, or a function of
 * the page that does something more.
 */
import type { Connection, ConnectOptions } from 'shaveet';
export interface ShareOptions extends ConnectOptions {
    /**
     * The name under which tabs share. Tabs of one name must be of one client of
     * one server. If not given it is made of `url` and `clientId`, which are asked
     * for it once more if they are functions.
     */
    readonly share?: string | undefined;
}
/** `connect`, or what does the same. */
export type Connect = (options: ConnectOptions) => Connection;
/**
 * The same as `connect(options)`, but of all tabs (pages of one origin in one
 * browser) that share, only one is connected, and tells the others what it
 * hears. Each tab hears what it would hear by a connection of its own: it has
 * its own listeners, position, `resume` and `close`. When the one ends, or is
 * put away, another connects from where it is itself.
 *
 * Where tabs cannot share (no Web Locks, as on pages that are not secure, no
 * BroadcastChannel, no sessionStorage, or no page at all) it is `connect`.
 *
 * @throws Error if neither `url` nor `share` is given and no script tag on the
 * page tells where the server is.
 */
export declare function share(connect: Connect, options: ShareOptions): Connection;
