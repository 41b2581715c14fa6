/**
 * Makes a package of the built client: `node client/make-package.mjs FOLDER`, where `tsc -p tsconfig.client.json` has built into FOLDER. Bundles
 * the `pvc` command and writes its manual page into it.
 * It has zod as its only dependency, since nobody who only talks HTTP to a cluster shall build the native modules of its daemons.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const here = import.meta.dirname;
const root = JSON.parse(readFileSync(join(here, '../package.json'), 'utf8'));
const folder = resolve(process.argv[2] ?? 'dist/client-package');
const entry = { types: './client/index.d.ts', default: './client/index.js' };
const made = {
  name: 'pvc-client',
  version: root.version,
  description: 'Typed client of the HTTP API of PVC, a hyperconverged virtualization cluster, and the command pvc',
  license: root.license,
  type: root.type,
  engines: root.engines,
  exports: { '.': entry },
  bin: { pvc: './cli/pvc.cjs' },
  man: ['./man/pvc.1'],
  dependencies: { zod: root.dependencies.zod },
};
rmSync(join(folder, 'cli'), { recursive: true, force: true });
execFileSync(process.execPath, [join(here, 'bundle-command.mjs'), join(folder, 'cli')], { stdio: 'inherit' });
mkdirSync(join(folder, 'man'), { recursive: true });
writeFileSync(join(folder, 'man/pvc.1'), execFileSync(process.execPath, [join(folder, 'cli/pvc.cjs'), 'manual']));
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(made, null, 2)}\n`);
