/**
 * The module form of the client, and everything public about it:
 *
 *     import { Shaveet } from 'shaveet';
 *
 *     Shaveet.base = 'https://push.example.org';
 *     Shaveet.listenSingle('room', (message) => show(message.payload));
 *     Shaveet.init(id, key);
 */
/** One message, as listeners get it. */
export interface Message {
    /** Its number in the channel: starts at 1, grows by 1. */
    readonly id: number;
    /** Who published it. */
    readonly client_id: string;
    /** The text parsed as JSON, or null if it is not JSON. Never evaluated. */
    readonly payload: unknown;
    /** The text as it was published. */
    readonly payload_raw: string;
    readonly channelName: string;
}
/** Takes back a registration. Calling it again does nothing. */
export type Undo = () => void;
/** What a page holds: the global `Shaveet`, or the export of the same name. */
export interface Shaveet {
    /**
     * Where the server is, e.g. `https://push.example.org`. A page that includes
     * the script from the server need not set it: the first `<script>` whose
     * address contains `/static/shaveet.js` tells.
     */
    base: string | undefined;
    /**
     * True: poll by script tags (JSONP) and not by CORS. If left alone, it is
     * true where the script's address says `disableCORS=1` and in browsers that
     * cannot abort a fetch.
     */
    jsonp: boolean | undefined;
    /**
     * Starts to receive what the server has for a client. May be called for
     * several clients: one loop polls for all of them. Calling it again for the
     * same client replaces its key.
     *
     * @throws Error if `base` is unset and no script tag tells it.
     */
    init(client_id: string, key: string): void;
    /** Calls `listener` with every message of `channel`, one by one. */
    listenSingle(channel: string, listener: (message: Message) => void): Undo;
    /**
     * Calls `listener` with the messages of `channel` that came together, in
     * order. Channel `*` (here and in `listenSingle`) means those channels that
     * have no listener of their own.
     */
    listenBulk(channel: string, listener: (messages: readonly Message[]) => void): Undo;
    /** Drops all listeners of `channel`. */
    stopListening(channel: string): void;
    /**
     * Calls `listener` with the id of a client the server does not know (any
     * more), or whose key it refuses. That client is polled for no longer; a page
     * that wants to go on asks its backend for a new one and calls `init`.
     */
    onGone(listener: (client_id: string) => void): Undo;
    /** Stops polling and forgets all clients. Listeners stay; `init` starts anew. */
    stop(): void;
}
/** The client of this page. */
export declare const Shaveet: Shaveet;
export default Shaveet;
