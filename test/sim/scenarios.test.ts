import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { comparable, play, readScenario, UPDATE, writeExpected } from './scenario.ts';

const FOLDER = path.join(import.meta.dirname, 'scenarios');

/** What issue 2 asks for, at least. */
const SCENARIOS_MIN = 40;

const names = readdirSync(FOLDER).sort();

describe('scenario', () => {
  test.each(names)('%s', async (name) => {
    const folder = path.join(FOLDER, name);
    const scenario = await readScenario(folder);
    const events = await play(scenario);
    if (UPDATE) await writeExpected(folder, events);
    else expect(comparable(events)).toEqual(comparable(scenario.expected));
  });
});

test(`there are at least ${SCENARIOS_MIN} scenarios`, () => {
  expect(names.length).toBeGreaterThanOrEqual(SCENARIOS_MIN);
});
