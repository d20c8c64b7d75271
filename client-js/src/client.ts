import { createConnection } from './connection';
import { ANY, createEmitter } from './emitter';
import type { Environment } from './environment';
import { guard } from './guard';
import { find } from './locate';
import { createPoller } from './poller';
import type { Message, Page } from './types';
import { byFetch, byScript } from './transports';

/**
 * Joins the parts to what a page holds. The way of an answer: `poller` decides
 * when to ask, one of `transports` asks, `answer` makes sense of what came back,
 * `emitter` hands it to the page's listeners.
 */
export function createClient(env: Environment): Page {
  const call = guard(env);
  const channels = createEmitter<readonly Message[]>();
  const gone = createEmitter<string>();

  const poller = createPoller({
    env,
    base: () => (client.base || '').replace(/\/+$/, ''),
    transport: () => (client.jsonp || !env.globals['AbortController'] ? byScript : byFetch)(env),
    onNews(news) {
      news.forEach((messages, channel) => channels.emit(channel, messages) || channels.emit(ANY, messages));
    },
    onGone(id) {
      // Nobody asked to be told, so this is the only trace of why the page falls silent.
      if (!gone.emit(ANY, id)) env.report(`Shaveet: client ${id} is gone`);
    },
  });

  const client: Page = {
    base: undefined,
    jsonp: undefined,

    init(client_id, key) {
      if (client.base === undefined) {
        const place = find(env.scripts(), 'Shaveet.base');
        client.base = place.base;
        if (client.jsonp === undefined) client.jsonp = place.jsonp;
      }
      // Pages write ids into scripts as they come, numbers as well.
      poller.add(String(client_id), String(key));
    },
    listenSingle: (channel, listener) =>
      channels.on(channel, (messages, listening) => {
        for (const message of messages) if (listening()) call(listener, message);
      }),
    listenBulk: (channel, listener) => channels.on(channel, (messages) => call(listener, messages)),
    stopListening: (channel) => channels.off(channel),
    onGone: (listener) => gone.on(ANY, (id) => call(listener, id)),
    stop: () => poller.stop(),
    connect: (options) => createConnection(env, options),
  };
  return client;
}
