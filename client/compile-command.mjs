/**
 * Keeps what V8 compiles of the bundled `pvc` command while it does what it does most often: `node client/compile-command.mjs FOLDER`. Starting it
 * takes half of the time then, beyond that of Node itself.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { Script } from 'node:vm';

const USUAL = [['--help'], ['vm', 'list']];

const folder = resolve(process.argv[2] ?? 'dist/client-package/cli');
const filename = join(folder, 'command.js');
const script = new Script(readFileSync(filename, 'latin1'), { filename });

/** A cluster without anything. */
const api = createServer((_request, response) => void response.setHeader('Content-Type', 'application/json').end('[]'));
await new Promise((done) => void api.listen(0, '127.0.0.1', () => done(undefined)));
const address = api.address();
process.env['PVC_API_URL'] = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
process.env['PVC_API_TOKEN'] = 'none';

for (const words of USUAL) {
  process.argv = [process.execPath, 'pvc', ...words];
  /** @type {{ exports: { finished?: Promise<void> } }} */
  const module = { exports: {} };
  script.runInThisContext()(createRequire(filename), module);
  await module.exports.finished;
  if (process.exitCode !== 0) throw new Error(`pvc ${words.join(' ')} failed`);
}
api.close();
writeFileSync(join(folder, 'command.cache'), script.createCachedData());
