// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { say } from './test-times.mjs';

/**
 * Builds, then checks types, lints and runs every test, showing progress and how long each part took, and ends with a line `N passed, N failed`.
 * A build, type check or lint that fails counts as one failed, and so does a test file that cannot be loaded, or an error outside of any test.
 * @param {string} root the repository
 * @param {readonly string[]} args given on to vitest, for a part of the tests
 * @returns {Promise<number>} the exit code: 0 when something passed and nothing failed
 */
export async function runTests(root, args) {
  const built = await inTurn(root, ['build']);
  // Beside the first tests, which wait for no time.
  const [checked, tests] = await Promise.all([inTurn(root, ['types', 'lint']), runVitest(root, args)]);
  const failed = built + checked + tests.failed;
  console.log(`${tests.passed} passed, ${failed} failed`);
  return failed === 0 && tests.passed > 0 ? 0 : 1;
}

/**
 * Runs npm scripts one after the other, all of them.
 * @param {string} root @param {readonly string[]} names
 * @returns {Promise<number>} how many failed
 */
async function inTurn(root, names) {
  let failed = 0;
  for (const name of names) {
    console.error(`-- ${name}`);
    const beganMs = performance.now();
    const status = await exitCode('npm', ['run', '--silent', name], root);
    say(name, performance.now() - beganMs);
    if (status === 0) continue;
    console.error(`-- ${name} failed`);
    failed += 1;
  }
  return failed;
}

/** @param {string} program @param {readonly string[]} args @param {string} cwd @returns {Promise<number>} */
async function exitCode(program, args, cwd) {
  const [code] = await once(spawn(program, args, { cwd, stdio: 'inherit' }), 'exit');
  return code ?? 1;
}

/** @param {string} root @param {readonly string[]} args @returns {Promise<{ passed: number, failed: number }>} */
async function runVitest(root, args) {
  const report = path.join(root, 'dist/test-report.json');
  mkdirSync(path.dirname(report), { recursive: true });
  rmSync(report, { force: true });
  console.error('-- tests');
  const reporters = ['default', 'json', path.join(root, 'lab/test-times.mjs')].map((reporter) => `--reporter=${reporter}`);
  const status = await exitCode(process.execPath, [path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project=!machine', ...reporters, `--outputFile.json=${report}`, ...args], root);
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const { numPassedTests: passed, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const unloaded = testResults.filter((/** @type {{ status: string, assertionResults: { status: string }[] }} */ file) => {
    return file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed');
  }).length;
  const failed = numFailedTests + unloaded;
  // An unhandled error fails the run without failing a test.
  return { passed, failed: failed === 0 && status !== 0 ? 1 : failed };
}
