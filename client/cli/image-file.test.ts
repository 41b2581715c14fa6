import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { memoryTerminal } from '../../test/support/memory-terminal.ts';
import type { ImageSource } from '../image-transfer.ts';
import { withImage } from './image-file.ts';

const piped = (): { stdin: PassThrough; terminal: ReturnType<typeof memoryTerminal>['terminal'] } => {
  const stdin = new PassThrough();
  return { stdin, terminal: { ...memoryTerminal({}).terminal, stdin } };
};

test('standard input that has more to come is let go of when the transfer ends early', async () => {
  const { stdin, terminal } = piped();
  const endsInTheMiddle = async ({ bytes }: ImageSource): Promise<never> => {
    const pieces = bytes[Symbol.asyncIterator]();
    stdin.write('the first');
    expect(await pieces.next()).toMatchObject({ done: false });
    // The next piece is waited for while the API answers.
    void pieces.next().catch(() => undefined);
    throw new Error('refused');
  };
  await expect(withImage(terminal, { file: '-', sizeBytes: 100 }, endsInTheMiddle)).rejects.toThrow('refused');
  expect(stdin.destroyed).toBe(true);
});
