/**
 * Makes a package of the built client: `node client/make-package.mjs FOLDER`, where `tsc -p tsconfig.client.json` has built into FOLDER.
 * It has zod as its only dependency, since nobody who only talks HTTP to a cluster shall build the native modules of its daemons.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const folder = process.argv[2] ?? 'dist/client-package';
const entry = { types: './client/index.d.ts', default: './client/index.js' };
const made = {
  name: 'pvc-client',
  version: root.version,
  description: 'Typed client of the HTTP API of PVC, a hyperconverged virtualization cluster',
  license: root.license,
  type: root.type,
  engines: root.engines,
  exports: { '.': entry },
  dependencies: { zod: root.dependencies.zod },
};
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(made, null, 2)}\n`);
