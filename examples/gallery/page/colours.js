// A little of what editors do: comments, strings, keywords. It reads the text
// from its beginning and takes what matches first, so a quote in a comment is no
// string.

const WORDS = {
  go: 'break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var nil true false',
  py: 'and as assert async await break class continue def del elif else except finally for from global if import in is lambda None nonlocal not or pass raise return try True False while with yield',
  js: 'async await break case catch class const continue default delete do else export extends finally for from function get if import in instanceof let new null of return set static super switch this throw true false try typeof undefined var void while yield',
  php: 'array as break case catch class const continue declare default echo else elseif exit extends final finally fn foreach for function if implements instanceof interface match namespace new null print private protected public readonly require return static switch throw true false try use while',
};

const BLOCK = String.raw`\/\*[^]*?\*\/`;
const SLASHES = String.raw`(?<!:)\/\/.*`;
const HASH = String.raw`#.*`;
const QUOTED = String.raw`"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'`;
const TICKS = '`[^`]*`';

const FORMS = {
  go: { comment: `${BLOCK}|${SLASHES}`, string: `${QUOTED}|${TICKS}` },
  py: { comment: HASH, string: `"""[^]*?"""|'''[^]*?'''|${QUOTED}` },
  js: { comment: `${BLOCK}|${SLASHES}`, string: `${QUOTED}|${TICKS}` },
  php: { comment: `${BLOCK}|${SLASHES}|${HASH}`, string: QUOTED },
  css: { comment: BLOCK, string: QUOTED },
  html: { comment: '<!--[^]*?-->', string: '"[^"]*"', word: String.raw`<\/?[a-zA-Z][\w-]*|\/?>` },
  toml: { comment: HASH, string: QUOTED, head: String.raw`^\[.*\]\s*$` },
  md: { head: '^#{1,6} .*$', string: `^\`\`\`[^]*?^\`\`\`|${TICKS}` },
};

/** The lines of a text, each an element. */
export function colour(text, kind) {
  const form = { ...FORMS[kind] };
  if (WORDS[kind]) form.word = String.raw`\b(?:${WORDS[kind].replaceAll(' ', '|')})\b`;
  const names = Object.keys(form);
  const lines = [document.createElement('code')];
  const put = (piece, className) => {
    piece.split('\n').forEach((part, i) => {
      if (i) lines.push(document.createElement('code'));
      if (!part) return;
      const span = document.createElement('span');
      if (className) span.className = className;
      span.textContent = part;
      lines.at(-1).append(className ? span : part);
    });
  };
  let end = 0;
  if (names.length) {
    for (const found of text.matchAll(new RegExp(names.map((name) => `(?<${name}>${form[name]})`).join('|'), 'gm'))) {
      put(text.slice(end, found.index));
      put(found[0], names.find((name) => found.groups[name] !== undefined));
      end = found.index + found[0].length;
    }
  }
  put(text.slice(end));
  return lines;
}
