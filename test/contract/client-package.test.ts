import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Script } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { aZooKeeper, startApi, TOKEN, type TestApi } from './api-support.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const TSC = join(ROOT, 'node_modules/typescript-7/bin/tsc');

let folder: string;
let project: string;
let api: TestApi;

const run = (cwd: string, command: string, ...args: string[]): string => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });

/** Builds the package, packs it and zod, and installs both into a project that has nothing, without any registry. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pvc-client-package-'));
  const [built, packed] = [join(folder, 'built'), join(folder, 'packed')];
  project = join(folder, 'project');
  for (const one of [packed, project]) mkdirSync(one);
  run(ROOT, process.execPath, TSC, '-p', 'tsconfig.client.json', '--outDir', built, '--incremental', 'false', '--tsBuildInfoFile', 'null');
  run(ROOT, process.execPath, 'client/make-package.mjs', built);
  for (const from of [built, join(ROOT, 'node_modules/zod')]) run(from, 'npm', 'pack', '--ignore-scripts', '--pack-destination', packed);
  writeFileSync(join(project, 'package.json'), '{"name":"empty","private":true}');
  run(project, 'npm', 'install', '--offline', '--no-audit', '--no-fund', ...readdirSync(packed).map((name) => join(packed, name)));
  api = await startApi({ zookeeper: aZooKeeper() });
}, 240_000);

afterAll(async () => {
  await api.stop();
  rmSync(folder, { recursive: true });
});

/** A program is a process of its own, so the API must be able to answer meanwhile. */
async function program(name: string, text: string): Promise<string> {
  writeFileSync(join(project, name), text);
  const { execFile } = await import('node:child_process');
  return new Promise((done, fail) => {
    execFile(process.execPath, [name, api.base, TOKEN], { cwd: project, timeout: 60_000 }, (error, stdout, stderr) => (error === null ? done(stdout) : fail(new Error(`${stderr} ${stdout}`, { cause: error }))));
  });
}

const USE = `const [base, token] = process.argv.slice(2);
const vms = new VmClient(base, token);
vms.get('nobody').catch((error) => console.log(error instanceof ClientError, error.status, vms.connection.endpoint.url === base));`;

test('an empty project gets zod and nothing else with it', () => {
  expect(readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.')).sort()).toEqual(['pvc-client', 'zod']);
});

test('an ES module imports it', async () => {
  expect(await program('use.mjs', `import { ClientError, VmClient } from 'pvc-client';\n${USE}`)).toBe('true 404 true\n');
});

test('a CommonJS module requires it', async () => {
  expect(await program('use.cjs', `const { ClientError, VmClient } = require('pvc-client');\n${USE}`)).toBe('true 404 true\n');
});

test('its types are those of the answers, in either kind of module', () => {
  const right = `import { VmClient, type VmView, type ClientError } from 'pvc-client';
export async function names(vms: VmClient): Promise<string[]> { const found: VmView[] = await vms.list({ state: 'start' }); return found.map((vm) => vm.name); }
export const statusOf = (error: ClientError): number | undefined => error.status;\n`;
  const wrong = `import type { VmClient } from 'pvc-client';\nexport const wrong = (vms: VmClient) => vms.list({ stat: 'start' });\nexport const wrongToo = async (vms: VmClient): Promise<number> => (await vms.get('a')).name;\n`;
  const check = (...files: string[]): string => {
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
    try {
      return run(project, process.execPath, TSC, ...options, ...files);
    } catch (error) {
      return String((error as { stdout: string }).stdout);
    }
  };
  for (const [name, text] of [['right.mts', right], ['right.cts', right], ['wrong.mts', wrong]] as const) writeFileSync(join(project, name), text);
  expect(check('right.mts', 'right.cts', 'wrong.mts').match(/^.*\.[mc]ts\(|error TS\d+/gmu)).toEqual(['wrong.mts(', 'error TS2561', 'wrong.mts(', 'error TS2322']);
}, 240_000);

test('its command starts from what was compiled when it was built', () => {
  const cli = join(project, 'node_modules/pvc-client/cli');
  const script = new Script(readFileSync(join(cli, 'command.js'), 'latin1'), { cachedData: readFileSync(join(cli, 'command.cache')) });
  expect(script.cachedDataRejected).toBe(false);
  expect(run(project, 'node_modules/.bin/pvc', '--help')).toMatch(/^Usage: pvc /u);
});

test('the project itself offers the same entry to those who have it whole', () => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { exports: Record<string, { default: string }> };
  const built = JSON.parse(readFileSync(join(project, 'node_modules/pvc-client/package.json'), 'utf8')) as { exports: Record<string, { default: string }> };
  expect(exports['./client']?.default).toBe(`./dist/client-package/${built.exports['.']?.default.slice(2)}`);
});
