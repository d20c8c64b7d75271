// JSON as people read it. It is never parsed for that: a long number would come
// out as another one.

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/** JSON in one line or, with an indent, with a line for each member. */
export function layOut(text, indent = '') {
  let out = '';
  let depth = 0;
  let opened = false; // the token before opens an object or a list
  const turn = () => (indent ? `\n${indent.repeat(depth)}` : '');
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '}' || token === ']') {
      depth--;
      out += (opened ? '' : turn()) + token;
      opened = false;
      continue;
    }
    if (opened) out += turn();
    opened = token === '{' || token === '[';
    if (opened) depth++;
    if (token === ',') out += `,${turn()}`;
    else if (token === ':') out += indent ? ': ' : ':';
    else out += token[0] === '"' ? string(token) : token;
  }
  return out;
}

/** A string with its characters, and not their numbers. */
function string(token) {
  try {
    return JSON.stringify(JSON.parse(token));
  } catch {
    return token;
  }
}
