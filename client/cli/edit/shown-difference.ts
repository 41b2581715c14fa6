import { createTwoFilesPatch } from 'diff';
import picocolors from 'picocolors';
import { safeText } from '../output/safe-text.ts';

/** The difference of two texts as people know it from diff -u. */
export async function shownDifference(before: string, after: string, coloured: boolean): Promise<string> {
  const colours = picocolors.createColors(coloured);
  const lines = safeText(createTwoFilesPatch('as it is', 'as you want it', before, after)).trimEnd().split('\n').slice(1);
  const toned = lines.map((line) => (line.startsWith('+') ? colours.green(line) : line.startsWith('-') ? colours.red(line) : line));
  return `${toned.join('\n')}\n`;
}
