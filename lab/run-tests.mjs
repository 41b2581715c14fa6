// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { say } from './test-times.mjs';

/**
 * @typedef {object} Way How a program runs.
 * @property {string} cwd
 * @property {boolean} [patient] With little of the processors, so that it takes what the others leave; what it prints comes at its end, in one piece.
 *
 * @typedef {object} Part Projects of vitest.config.ts that one vitest runs.
 * @property {string} name
 * @property {readonly string[]} projects
 * @property {boolean} [patient]
 *
 * @typedef {{ passed: number, failed: number }} Counts
 */

/** Groups run one after another. */
const CLUSTERS = { name: 'clusters', projects: ['unit', 'contract', 'real', 'e2e'] };

/** Their clock is their own, so it is no matter to them how long they take. */
const SIMULATIONS = { name: 'simulations', projects: ['sim'], patient: true };

/** They measure interruptions, so nothing runs beside them. */
const TIMED = { name: 'timed', projects: ['e2e-timed'] };

/** A tenth of the time that others get where both want the processor. */
const PATIENT_NICENESS = 10;

/**
 * Builds, then checks types, lints and runs every test, showing progress and how long each part took, and ends with a line `N passed, N failed`.
 * A build, type check or lint that fails counts as one failed, and so does a test file that cannot be loaded, or an error outside of any test.
 * @param {string} root the repository
 * @param {readonly string[]} args given on to vitest, for a part of the tests
 * @returns {Promise<number>} the exit code: 0 when something passed and nothing failed
 */
export async function runTests(root, args) {
  const built = await runScripts(['build'], { cwd: root });
  const beside = await Promise.all([runVitest(CLUSTERS, root, args), runVitest(SIMULATIONS, root, args), runScripts(['types', 'lint'], { cwd: root, patient: true })]);
  const all = [built, ...beside, await runVitest(TIMED, root, args)];
  const [passed, failed] = [sum(all.map((counts) => counts.passed)), sum(all.map((counts) => counts.failed))];
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

/** @param {readonly number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/**
 * Runs npm scripts one after the other, all of them. Only those that fail count.
 * @param {readonly string[]} names @param {Way} way @returns {Promise<Counts>}
 */
async function runScripts(names, way) {
  let failed = 0;
  for (const name of names) {
    console.error(`-- ${name}`);
    const beganMs = performance.now();
    const status = await exitCode(['npm', 'run', '--silent', name], way);
    say(name, performance.now() - beganMs);
    if (status === 0) continue;
    console.error(`-- ${name} failed`);
    failed += 1;
  }
  return { passed: 0, failed };
}

/** @param {Part} part @param {string} root @param {readonly string[]} args @returns {Promise<Counts>} */
async function runVitest({ name, projects, patient }, root, args) {
  const report = path.join(root, `dist/test-report-${name}.json`);
  mkdirSync(path.dirname(report), { recursive: true });
  rmSync(report, { force: true });
  console.error(`-- tests: ${name}`);
  const reporters = ['default', 'json', path.join(root, 'lab/test-times.mjs')].map((reporter) => `--reporter=${reporter}`);
  const chosen = projects.map((project) => `--project=${project}`);
  // What was asked for may be in another part.
  const few = args.length === 0 ? [] : ['--passWithNoTests', ...args];
  const status = await exitCode([process.execPath, path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...chosen, ...reporters, `--outputFile.json=${report}`, ...few], { cwd: root, patient });
  return existsSync(report) ? countsOf(JSON.parse(readFileSync(report, 'utf8')), status) : { passed: 0, failed: 1 };
}

/**
 * @param {{ numPassedTests: number, numFailedTests: number, testResults: { status: string, assertionResults: { status: string }[] }[] }} report
 * @param {number} status of vitest
 * @returns {Counts}
 */
function countsOf({ numPassedTests, numFailedTests, testResults }, status) {
  const unloaded = testResults.filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')).length;
  const failed = numFailedTests + unloaded;
  // An unhandled error fails the run without failing a test.
  return { passed: numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
}

/** @param {readonly string[]} command @param {Way} way @returns {Promise<number>} */
async function exitCode(command, { cwd, patient = false }) {
  const [program = '', ...args] = patient ? ['nice', '-n', String(PATIENT_NICENESS), ...command] : command;
  const child = spawn(program, args, { cwd, stdio: patient ? ['ignore', 'pipe', 'pipe'] : 'inherit' });
  /** @type {Buffer[]} */
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (/** @type {Buffer} */ chunk) => printed.push(chunk));
  const [code] = await once(child, 'close');
  process.stdout.write(Buffer.concat(printed));
  return code ?? 1;
}
