import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { PVC_VERSION } from './version.ts';

test('the version that the programs show is that of the package', async () => {
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  expect(PVC_VERSION).toBe(manifest.version);
});
