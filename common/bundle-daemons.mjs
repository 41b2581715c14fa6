/**
 * Bundles the daemons into dist/daemons: a file that is one is loaded in a third of the time of the several hundred that it is made of, and a
 * takeover waits for the start of an API. Native packages, and those that bring native parts, stay outside; source maps lie beside, for
 * `node --enable-source-maps`.
 */
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'dist/daemons');

rmSync(folder, { recursive: true, force: true });
await build({
  entryPoints: {
    pvcd: join(root, 'node-daemon/main.ts'),
    'pvc-api': join(root, 'api/main.ts'),
    // Started by both, from the folder that they are in.
    'rados-child': join(root, 'common/rados/rados-child.ts'),
    'rados-worker': join(root, 'common/rados/rados-worker.ts'),
  },
  absWorkingDir: root,
  outdir: folder,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  external: ['koffi', 'ssh2', 'zookeeper'],
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  // Some of the packages are CommonJS and ask for Node's own modules with require().
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  logLevel: 'warning',
});
