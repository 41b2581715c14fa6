/**
 * Bundles the `pvc` command: `node client/bundle-command.mjs FOLDER`. Loading one file takes a fraction of the time of loading the hundred that it is
 * made of, and the package needs nothing but zod installed. What is in the bundle keeps its licences, in LICENSES.txt.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const folder = resolve(process.argv[2] ?? join(root, 'dist/client-package/cli'));

/** Zod brings its messages in fifty languages, which are most of it; the API is in English. */
const onlyEnglish = {
  name: 'only-english',
  setup(given) {
    given.onLoad({ filter: /zod.v4.locales.index\.js$/ }, () => ({ contents: "export { default as en } from './en.js';", loader: 'js' }));
  },
};

/**
 * What is not used of zod stays out: esbuild sees that of a namespace which is imported, and not of the object of that name that zod exports. So do
 * schemas that are not used, since to make one changes nothing else.
 */
const onlyUsed = {
  name: 'only-used',
  setup(given) {
    given.onLoad({ filter: /\/(client|common)\/.*\.ts$/ }, ({ path }) => ({ contents: withPureSchemas(readFileSync(path, 'utf8')), loader: 'ts' }));
  },
};

/** @param {string} source @returns {string} with a note at each call that makes a schema, alone or of another one */
function withPureSchemas(source) {
  return source
    .replace("import { z } from 'zod'", "import * as z from 'zod'")
    .replaceAll(/\bz\.(?=[a-z]\w*\()/giu, '/* @__PURE__ */ z.')
    .replaceAll(/(?<![\w.])\w+\.(?:array|brand|default|describe|extend|max|min|nullable|omit|optional|partial|pick|refine)\(/gu, '/* @__PURE__ */ $&');
}

/** A module of Node that is imported and not used is not loaded. */
const nodeModules = {
  name: 'node-modules',
  setup(given) {
    given.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, external: true, sideEffects: false }));
  },
};

/** Commander can start programs for commands that are programs of their own; there are none here. */
const noPrograms = {
  name: 'no-programs',
  setup(given) {
    given.onResolve({ filter: /^node:child_process$/ }, ({ path, importer }) => (importer.includes('/node_modules/commander/') ? { path, namespace: 'nothing' } : undefined));
    given.onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: '' }));
  },
};

const bundle = join(folder, 'command.js');

const { metafile } = await build({
  entryPoints: [join(root, 'client/cli/main.ts')],
  absWorkingDir: root,
  outfile: bundle,
  bundle: true,
  minify: true,
  // In this form what is imported later is not evaluated earlier, and all of it is one script, which V8 can keep compiled.
  format: 'cjs',
  supported: { 'dynamic-import': false },
  banner: { js: '(function (require, module) {' },
  footer: { js: '})' },
  platform: 'node',
  target: 'node20.19',
  // A script of single bytes is read at once.
  charset: 'ascii',
  legalComments: 'none',
  plugins: [onlyEnglish, onlyUsed, noPrograms, nodeModules],
  metafile: true,
  logLevel: 'warning',
});

const command = join(folder, 'pvc.cjs');
copyFileSync(join(import.meta.dirname, 'launch-command.cjs'), command);
chmodSync(command, 0o755);
writeFileSync(join(folder, 'LICENSES.txt'), licenses(Object.keys(metafile.inputs)));
execFileSync(process.execPath, [join(import.meta.dirname, 'compile-command.mjs'), folder], { stdio: ['ignore', 'ignore', 'inherit'], env: {} });

/** @param {readonly string[]} files @returns {string} the licence of each package that a file is of */
function licenses(files) {
  const names = new Set(files.map((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//u.exec(file)?.[1]).filter((name) => name !== undefined));
  return [...names].sort().map(licenseOf).join('\n');
}

/** @param {string} place */
function licenseOf(place) {
  const described = JSON.parse(readFileSync(join(root, place, 'package.json'), 'utf8'));
  const file = readdirSync(join(root, place)).find((name) => /^licen[cs]e/iu.test(name));
  const text = file === undefined ? `License: ${described.license}\n` : readFileSync(join(root, place, file), 'utf8');
  return `== ${described.name} ${described.version}\n\n${text}`;
}
