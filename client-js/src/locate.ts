const PATH = '/static/shaveet.js';

/** What the address of the script tells. */
export interface Place {
  readonly base: string;
  readonly jsonp: boolean;
}

/**
 * Finds the server from the addresses of the page's scripts: the first one that
 * contains /static/shaveet.js, without that path and without the query.
 *
 * The query carries flags. `disableCORS=1` asks for JSONP. `disableIECORS=1`
 * once ruled out a transport that no browser has any more: it is not looked at.
 *
 * It must be found, for lack of `setting`.
 */
export function find(scripts: readonly string[], setting: string): Place {
  for (const source of scripts) {
    const [address = '', query = ''] = source.split(/[?#]/);
    const end = address.indexOf(PATH);
    if (end >= 0) return { base: address.slice(0, end), jsonp: query.split('&').includes('disableCORS=1') };
  }
  throw new Error(`${setting} is not set, and no script from ${PATH} is on the page`);
}
