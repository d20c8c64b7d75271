// Builds dist/. With --check it builds beside it instead, and fails if the
// committed files differ from their sources.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** What the script may cost a page, gzipped. */
const BUDGET = 5000;

/**
 * Members that only our own files see, so that the build may give them shorter
 * names: none of the browser's, of the wire, of what is kept, or of what a page
 * holds or is told.
 */
const OURS = [
  'batch canAbort emit ended env fetch globals held kind known later leave listener listening keep news off online onNews',
  'recall refused report retryMs script seen take transport whenHidden whenOnline whenShown',
].join(' ');

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

/** Builds all files and returns them by name. */
async function files() {
  const bundle = async (entry, format) => {
    const { outputFiles } = await build({
      absWorkingDir: root,
      entryPoints: [entry],
      format,
      bundle: true,
      minify: true,
      mangleProps: new RegExp(`^(${OURS.replaceAll(' ', '|')})$`),
      target: 'es2018',
      charset: 'ascii', // whatever charset the page declares
      legalComments: 'none',
      banner: { js: '/*! shaveet.js | MIT | built from client-js/src */' },
      write: false,
    });
    return outputFiles[0].text;
  };
  return new Map([
    ['shaveet.js', await bundle('src/global.ts', 'iife')],
    ['shaveet.mjs', await bundle('src/shaveet.ts', 'esm')],
    ['shaveet.d.ts', declarations()],
  ]);
}

/** All that is public is declared in two files; without what joins them, they are one that stands alone. */
function declarations() {
  const temporary = mkdtempSync(join(tmpdir(), 'shaveet-'));
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', root, '--declaration', '--emitDeclarationOnly', '--outDir', temporary], {
      stdio: 'inherit',
    });
    const [entry, types] = ['shaveet', 'types'].map((name) => readFileSync(join(temporary, `${name}.d.ts`), 'utf8'));
    return entry.replace(/^import .*\n/m, '').replace(/^export type \* from .*\n/m, types);
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
