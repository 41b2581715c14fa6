import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

/** A work that says when it begins and ends, and waits to be let go. */
function aWork(name: string, told: string[]): { work: () => Promise<string>; end: () => void; fail: (error: Error) => void } {
  let end = (): void => undefined;
  let fail = (_error: Error): void => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  const work = async (): Promise<string> => {
    told.push(`${name} begins`);
    await promise;
    return name;
  };
  return { work, end: () => end(), fail: (error) => fail(error) };
}

test('works of one key follow each other, those of another do not wait', async () => {
  const turns = new Turns<string>();
  const told: string[] = [];
  const [first, second, other] = [aWork('first', told), aWork('second', told), aWork('other', told)];
  const results = [turns.take('a', first.work), turns.take('a', second.work), turns.take('b', other.work)];
  other.end();
  expect(await results[2]).toBe('other');
  expect(told).toEqual(['first begins', 'other begins']);
  first.end();
  second.end();
  expect(await Promise.all(results)).toEqual(['first', 'second', 'other']);
  expect(told).toEqual(['first begins', 'other begins', 'second begins']);
});

test('a work that fails does not stop the next', async () => {
  const turns = new Turns();
  const told: string[] = [];
  const [bad, good] = [aWork('bad', told), aWork('good', told)];
  const results = Promise.allSettled([turns.take(undefined, bad.work), turns.take(undefined, good.work)]);
  bad.fail(new Error('broken'));
  good.end();
  expect((await results).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
});
