import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLogger, teeTo } from './log.ts';
import { LogTail, packLines, renderLogLine, unpackLines } from './log-tail.ts';

/** A tail that hears a logger, and what the logger has written itself. */
function aTail(linesMax: number): { tail: LogTail; log: ReturnType<typeof createLogger>; written: string[] } {
  const [tail, written]: [LogTail, string[]] = [new LogTail(linesMax), []];
  const log = createLogger('test', 'info', teeTo((line) => tail.take(line), { write: (line) => void written.push(line) }));
  return { tail, log, written };
}

test('a line has its time, its level, its message and its fields, and nothing about the process', () => {
  const { tail, log, written } = aTail(10);
  log.child({ part: 'vm' }).warn({ node: 'hv1', why: 'no "answer"\nyet', count: 3, list: ['a b'] }, 'it will be tried again');
  expect(tail.lines()).toHaveLength(1);
  expect(tail.lines()[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z warn it will be tried again part=vm node=hv1 why="no \\"answer\\"\\nyet" count=3 list=\["a b"\]$/u);
  expect(JSON.parse(written[0] ?? '')).toMatchObject({ level: 'warn', msg: 'it will be tried again', count: 3 });
});

test('what the logger redacts is redacted here, and what its level leaves out is left out', () => {
  const { tail, log } = aTail(10);
  log.debug({}, 'not said');
  log.info({ token: 'hidden', headers: { cookie: 'hidden' } }, 'said');
  expect(tail.lines()).toEqual([expect.stringContaining('token="[redacted]" headers={"cookie":"[redacted]"}')]);
});

test('the last lines are kept, also of an earlier run, and each line is told', () => {
  const { tail, log } = aTail(4);
  let told = 0;
  const unlisten = tail.listen(() => (told += 1));
  for (let number = 1; number <= 3; number += 1) log.info({ number }, 'said');
  tail.resume(['oldest', 'older']);
  expect(tail.lines().map((line) => line.replace(/^.*said /u, ''))).toEqual(['older', 'number=1', 'number=2', 'number=3']);
  for (let number = 4; number <= 103; number += 1) log.info({ number }, 'said');
  expect(tail.lines().map((line) => line.replace(/^.*said /u, ''))).toEqual(['number=100', 'number=101', 'number=102', 'number=103']);
  expect([told, tail.taken]).toEqual([103, 103]);
  unlisten();
  log.info({}, 'more');
  expect([told, tail.taken]).toEqual([103, 104]);
});

test('long lines are cut, and many of them stay far below what a document may have', () => {
  const { tail, log } = aTail(2_000);
  for (let number = 0; number < 500; number += 1) log.info({ number, text: '\u0001ä"'.repeat(800) }, 'said');
  expect(Math.max(...tail.lines().map((line) => line.length))).toBe(2_000);
  expect(tail.lines().at(-1)).toContain('number=499');
  expect(Buffer.byteLength(JSON.stringify(tail.lines()))).toBeLessThan(260_000);
});

/** Control characters, ASCII, and some thousand others. */
const anyText = fc.array(fc.integer({ min: 0, max: 0x2fff }), { maxLength: 40 }).map((codes) => String.fromCharCode(...codes));

test('whatever is logged is one line without control characters', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, anyText.map((text) => JSON.stringify({ time: 't', level: 'info', msg: text, x: text, [text]: { text } }))), (text) => {
      // eslint-disable-next-line no-control-regex -- exactly these are meant
      return !/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u.test(renderLogLine(text));
    }),
    { numRuns: 100 },
  );
  expect(renderLogLine('no JSON\n')).toBe('no JSON');
});

test('packed lines are the same afterwards, and lines of a log become less than a sixth', () => {
  const { tail, log } = aTail(2_000);
  for (let number = 0; number < 2_000; number += 1) log.info({ vm: `web-${number % 40}`, from: `hv${number % 7}`, generation: number }, 'phase changed');
  expect(unpackLines(packLines(tail.lines()))).toEqual(tail.lines());
  expect(tail.lines()).toHaveLength(2_000);
  expect(packLines(tail.lines()).length * 6).toBeLessThan(tail.lines().join('').length);
  expect(unpackLines(packLines([]))).toEqual([]);
  for (const broken of ['', 'AAAA', packLines(['x'.repeat(5_000_000)])]) expect(() => unpackLines(broken)).toThrow('cannot be unpacked');
});
