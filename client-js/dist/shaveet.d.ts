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
/** One message, as listeners of `Shaveet` get it. */
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
export interface Page {
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
    /**
     * Begins to receive for one client, apart from `init` and its listeners: with
     * a position that survives whatever may happen to the connection, and told of
     * everything that was missed. Listeners that are added at once miss nothing.
     *
     * @throws Error if `url` is not given and no script tag tells it, or if none
     * of the transports exists here.
     */
    connect(options: ConnectOptions): Connection;
}
/** The ways to read, from the best to the one that works nearly everywhere. */
export type TransportName = 'websocket' | 'sse' | 'stream' | 'longpoll' | 'jsonp';
/** A value, or a function that gets it. */
export type Given<T> = T | (() => T | PromiseLike<T>);
export interface ConnectOptions {
    /** Where the server is, e.g. `https://push.example.org`; found from the script tag if not given. */
    readonly url?: Given<string> | undefined;
    readonly clientId: Given<string>;
    /**
     * Functions here are called before the first attempt and again after each
     * refusal. With none, a client that is gone ends the connection.
     */
    readonly key: Given<string>;
    /** The connection's name for itself, 1 to 64 of `A-Z a-z 0-9 - _`. Drawn if not given. */
    readonly session?: string | undefined;
    /**
     * True: go on after a reload of the page where it was before, by what is kept
     * in sessionStorage for this url and client; or for this name, if it is one.
     */
    readonly resume?: boolean | string | undefined;
    /** Where to begin: a position that the backend handed to the page, or `now`. It wins over `resume`. */
    readonly cursor?: string | undefined;
    /**
     * By what to read, the best first: whichever opens and stays alive is used,
     * and remembered for the next page. All of them, in the order of their type,
     * if not given (in Node `stream` comes first); those that do not exist here
     * are left out.
     */
    readonly transports?: readonly TransportName[] | undefined;
    /**
     * True: poll by script tags, and by nothing else. False: never. If none of
     * this, `transports` and `url` is given, the script's address tells, as with
     * `Shaveet.jsonp`.
     */
    readonly jsonp?: boolean | undefined;
    /** How long the server may keep silent, in ms: 25,000 if not given, 600,000 at most. It may speak sooner. */
    readonly wait?: number | undefined;
}
/** One message of a `Connection`. */
export interface ChannelMessage {
    readonly channel: string;
    /** Its number in the channel: grows by 1, see also `volatile`. */
    readonly id: number;
    /** Its place in the order of all messages. */
    readonly pos: string;
    readonly sender: unknown;
    /** The JSON value that was published; null if it is an event. */
    readonly data: unknown;
    /** What the event is called, if the backend has emitted one. */
    readonly event?: string;
    /** Its arguments. Binary ones are `{$binary}`, in base64. */
    readonly args?: readonly unknown[];
    /** When, in Unix ms. */
    readonly time: number;
    /** The backend said it in the system's name. */
    readonly system?: boolean;
    /** It came because we were there, and comes to nobody later. Its `id` is that of the message before. */
    readonly volatile?: boolean;
}
/** A hole: messages of `channel` after `from` and up to `to` will not come. */
export interface Gap {
    /** Not there if nothing is known of any channel: all may have one. */
    readonly channel?: string | undefined;
    readonly from?: string | undefined;
    readonly to?: string | undefined;
    /**
     * `count`, `age`, `bytes`, `memory`: the server keeps them no more. `reset`:
     * it has lost its memory; told for each channel that is known. `rejoin`: the
     * client was off the channel meanwhile. `ids`: numbers are missing and nobody
     * said why, which is a fault of the server.
     */
    readonly reason: string;
}
/** Who comes and goes on a channel. May be told twice. One of the four is there: */
export interface Presence {
    readonly channel: string;
    readonly joined?: string;
    readonly left?: string;
    /** Of who left. */
    readonly reason?: 'unsubscribed' | 'idle' | 'killed';
    /** How many members there are, where they are too many to be told one by one. */
    readonly count?: number;
    /** Some of this was lost, up to the position `to`: get the list of members again. */
    readonly resync?: boolean;
    readonly to?: string;
}
export type ConnectionState = {
    readonly name: 'connecting';
} | {
    readonly name: 'connected';
} | {
    readonly name: 'waiting';
    /** When it tries again, in Unix ms; Infinity while the browser has the page put away. */
    readonly until: number;
    /**
     * `network`, `timeout`, `answer` (nothing that the server says), `offline`, `credentials` (a function failed), `gone`, `drain`, `superseded`,
     * `empty` (answers that come too fast), `hidden`, `HTTP 502`, `close 4429` and the like, or the server's own type of error.
     */
    readonly why: string;
} | {
    readonly name: 'closed';
    readonly why: 'closed' | 'gone';
};
export interface Connection {
    readonly state: ConnectionState;
    /** By what it reads; undefined unless it is connected. */
    readonly transport: TransportName | undefined;
    /** Calls `listener` with every message of `channel`; `*` means those channels that have no listener of their own. */
    on(channel: string, listener: (message: ChannelMessage) => void): Undo;
    /** Calls `listener` with every hole, before the messages that follow it. */
    onGap(listener: (gap: Gap) => void): Undo;
    onPresence(listener: (presence: Presence) => void): Undo;
    onState(listener: (state: ConnectionState) => void): Undo;
    /** Calls `listener` with the id of the client when the server does not know it (any more) or refuses its key. */
    onGone(listener: (clientId: string) => void): Undo;
    /** Ends it for good. */
    close(): void;
}
export type Shaveet = Page;
/** The client of this page. */
export declare const Shaveet: Shaveet;
/** The same as `Shaveet.connect`. */
export declare const connect: (options: ConnectOptions) => Connection;
export default Shaveet;
