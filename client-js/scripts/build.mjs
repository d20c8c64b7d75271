// Builds dist/. With --check it builds beside it instead, and fails if the
// committed files differ from their sources.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

/** What the script may cost a page, gzipped. */
const BUDGET = 6000;

/**
 * Members that only our own files see, so that the build may give them shorter
 * names: none of the browser's, of the wire, of what is kept, or of what a page
 * holds or is told.
 */
const OURS = [
  'batch current emit ended env failed fetch globals heard held kind known later leave listener listening keep news off online',
  'onNews recall refused report restart retryMs said script seen take whenHidden whenOnline whenShown',
].join(' ');

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

/** Whoever shares one connection among tabs; it stands apart, so that others need not load it. */
const TABS = existsSync(join(root, 'src/tabs.ts'));

/** Builds all files and returns them by name. */
async function files() {
  const declared = declarations();
  const list = [
    ['shaveet.js', await bundle('src/global.ts', 'iife', `^(${OURS.replaceAll(' ', '|')})$`)],
    ['shaveet.mjs', await bundle('src/shaveet.ts', 'esm', `^(${OURS.replaceAll(' ', '|')})$`)],
    ['shaveet.d.ts', declared.shaveet],
  ];
  // Tabs of one page may have come by different versions, so what they say to each other keeps its names.
  if (TABS) list.push(['tabs.mjs', await bundle('src/tabs.ts', 'esm')], ['tabs.d.ts', declared.tabs]);
  return new Map(list);
}

/** One script. esbuild puts the files together, and terser makes that some 5 % smaller than esbuild would. */
async function bundle(entry, format, ours) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    format,
    bundle: true,
    external: ['shaveet'],
    minifySyntax: true,
    ...(ours && { mangleProps: new RegExp(ours) }),
    target: 'es2018',
    write: false,
  });
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2018,
    module: format === 'esm',
    compress: { passes: 3 },
    mangle: { toplevel: true },
    format: {
      ascii_only: true, // whatever charset the page declares
      comments: false,
      preamble: '/*! shaveet.js | MIT | built from client-js/src */',
    },
  });
  return `${code}\n`;
}

/** What is public is declared in few files; without what joins them, each of them stands alone. */
function declarations() {
  const temporary = mkdtempSync(join(tmpdir(), 'shaveet-'));
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', root, '--declaration', '--emitDeclarationOnly', '--outDir', temporary], {
      stdio: 'inherit',
    });
    const read = (name) => readFileSync(join(temporary, `${name}.d.ts`), 'utf8');
    return {
      shaveet: read('shaveet').replace(/^import .*\n/m, '').replace(/^export type \* from .*\n/m, read('types')),
      tabs: TABS && read('tabs').replace(/'\.\/(types|shaveet)'/g, "'shaveet'"),
    };
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

function committed(name) {
  try {
    return readFileSync(join(dist, name), 'utf8');
  } catch {
    return undefined;
  }
}

const checking = process.argv.includes('--check');
const complaints = [];
mkdirSync(dist, { recursive: true });

for (const [name, text] of await files()) {
  const gzip = gzipSync(text, { level: 9 }).length;
  console.log(`${name.padEnd(12)} ${String(text.length).padStart(6)} bytes ${String(gzip).padStart(6)} gzip`);
  if (name === 'shaveet.js' && gzip > BUDGET) complaints.push(`${name} is over its budget of ${BUDGET} bytes gzip`);
  if (!checking) writeFileSync(join(dist, name), text);
  else if (committed(name) !== text) complaints.push(`dist/${name} is not what src makes: npm run build`);
}

for (const complaint of complaints) console.error(complaint);
process.exitCode = complaints.length ? 1 : 0;
