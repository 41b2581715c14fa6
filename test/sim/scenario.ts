import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { simulationEvent, type SimulationEvent } from '../support/simulated-record.ts';
import { clusterPlan, SimulatedCluster, type ClusterPlan } from '../support/simulated-cluster.ts';
import { runStep, scriptStep, type ScriptStep } from './script.ts';

export interface Scenario {
  name: string;
  plan: ClusterPlan;
  script: readonly ScriptStep[];
  expected: readonly SimulationEvent[];
}

/** From the last step until everything agrees again, at most; a forced stop takes 90 s of it. */
const SETTLE_LIMIT_MS = 150_000;

/** A settled cluster has to stay so: something that oscillates is found in this time. */
const QUIET_MS = 70_000;

/** Rewrites expected.jsonl for review instead of comparing. */
export const UPDATE = process.env['UPDATE'] !== undefined;

export async function readScenario(folder: string): Promise<Scenario> {
  const read = async (file: string): Promise<string> => readFile(path.join(folder, file), 'utf8');
  const readme = await read('README.md');
  if (readme.trim() === '') throw new Error('README.md says nothing');
  return {
    name: path.basename(folder),
    plan: clusterPlan.parse(JSON.parse(await read('cluster.json'))),
    script: z.array(scriptStep).parse(JSON.parse(await read('script.json'))),
    expected: UPDATE ? [] : parseEvents(await read('expected.jsonl')),
  };
}

/** @returns what happened of the kinds that it follows, from the first step of the script on. */
export async function play(scenario: Pick<Scenario, 'plan' | 'script'>): Promise<readonly SimulationEvent[]> {
  const cluster = new SimulatedCluster(scenario.plan);
  await cluster.start();
  const answers: Promise<void>[] = [];
  const startMs = cluster.clock.monotonicMs();
  for (const step of scenario.script) {
    if (step.atMs !== undefined) await cluster.advance(Math.max(0, startMs + step.atMs - cluster.clock.monotonicMs()));
    await runStep({ cluster, answers }, step);
  }
  await cluster.done(Promise.all(answers));
  if (!scenario.script.some((step) => step.do === 'leave-unsettled')) {
    await cluster.settled(SETTLE_LIMIT_MS);
    await cluster.advance(QUIET_MS);
    const faults = cluster.unsettled();
    if (faults.length > 0) throw new Error(`it did not stay settled:\n${faults.join('\n')}\n${cluster.record.tail()}`);
  }
  return cluster.record.events.filter(({ event }) => scenario.plan.follow.includes(event));
}

/** Time is for the reader; the order between different things is not compared, the order of each one's changes is. */
export function comparable(events: readonly SimulationEvent[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const { event, node, id, from, to } of events) {
    const key = [event, node, id].filter((part) => part !== undefined).join(' ');
    (groups[key] ??= []).push(from === undefined ? String(to) : `${from} -> ${to}`);
  }
  return Object.fromEntries(Object.entries(groups).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export async function writeExpected(folder: string, events: readonly SimulationEvent[]): Promise<void> {
  const file = path.join(folder, 'expected.jsonl');
  const before = await readFile(file, 'utf8').then(parseEvents, () => undefined);
  if (before !== undefined && JSON.stringify(comparable(before)) === JSON.stringify(comparable(events))) return;
  await writeFile(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
}

function parseEvents(text: string): SimulationEvent[] {
  return text.split('\n').filter((line) => line !== '').map((line) => simulationEvent.parse(JSON.parse(line)));
}
