import { expect, test } from 'vitest';
import { Gathered } from './gathered.ts';

test('questions of one moment, and those that come during an answer, share a call each', async () => {
  const calls: string[][] = [];
  const gathered = new Gathered<string, string>(async (questions) => {
    calls.push([...questions]);
    await Promise.resolve();
    if (calls.length === 1) later = gathered.ask('c');
    await Promise.resolve();
    return questions.map((question) => question.toUpperCase());
  });
  let later: Promise<string> | undefined;
  expect(await Promise.all([gathered.ask('a'), gathered.ask('b')])).toEqual(['A', 'B']);
  expect(await later).toBe('C');
  expect(calls).toEqual([['a', 'b'], ['c']]);
});

test('a failure reaches all who asked, and nobody who asks later', async () => {
  let fails = true;
  const gathered = new Gathered<number, number>(async (questions) => {
    if (fails) throw new Error('no');
    return questions;
  });
  const answers = await Promise.allSettled([gathered.ask(1), gathered.ask(2)]);
  expect(answers.map((answer) => answer.status)).toEqual(['rejected', 'rejected']);
  fails = false;
  expect(await gathered.ask(3)).toBe(3);
});

test('an answer too few is a bug and not a wait without end', async () => {
  const gathered = new Gathered<number, number>(async () => []);
  await expect(gathered.ask(1)).rejects.toThrow('not every question');
});
