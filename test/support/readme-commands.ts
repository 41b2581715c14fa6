import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const README = resolve(import.meta.dirname, '../../README.md');

/** The commands of a part of README, in their order, without what is said beside them. */
export function readmeCommands(heading: string): string[] {
  const text = readFileSync(README, 'utf8');
  const [, part = ''] = text.split(`\n## ${heading}\n`);
  const [own = ''] = part.split('\n## ');
  return own
    .split('\n')
    .filter((line) => line.startsWith('    '))
    .map((line) => line.trim().replace(/\s{2,}#.*$/u, ''));
}
