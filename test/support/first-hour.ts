import { expect } from 'vitest';
import type { Screen } from './pvc-command.ts';
import { readmeCommands } from './readme-commands.ts';

const LONG_MS = 180_000;
const CTRL_C = '\u0003';

/** The shell that it is typed into has this prompt, PS1: it tells the exit code of the last command. */
export const PROMPT = '[$?]> ';

/** What is typed while a command runs. */
const TYPED: Readonly<Record<string, (screen: Screen) => Promise<void>>> = {
  'pvc vm console web1': async (screen) => {
    await screen.see(/GUEST: count \d+/u, LONG_MS);
    screen.type(CTRL_C);
  },
  'pvc cluster status --watch': async (screen) => {
    await screen.see(/primary +hv\d/u, LONG_MS);
    screen.type(CTRL_C);
  },
  'pvc vm delete web1': async (screen) => {
    await screen.see('Go on?');
    screen.type('y\r');
  },
};

/**
 * Types README's first hour as it stands there, and looks that every command succeeds.
 * @param except commands that are not typed, and why.
 * @param limitsMs of commands that take long.
 */
export async function typeFirstHour(shell: Screen, { except = {}, limitsMs = {} }: { except?: Readonly<Record<string, string>>; limitsMs?: Readonly<Record<string, number>> }): Promise<void> {
  const commands = readmeCommands('A first hour');
  expect(commands).toEqual(expect.arrayContaining([...Object.keys(except), ...Object.keys(TYPED), ...Object.keys(limitsMs)]));
  await shell.see('[0]> ');
  for (const command of commands.filter((one) => except[one] === undefined)) {
    shell.type(`${command}\r`);
    await TYPED[command]?.(shell);
    await shell.see(/\[\d+\]> /u, limitsMs[command] ?? LONG_MS);
    expect(/.*\[(\d+)\]> $/u.exec(shell.text)?.[1], `${command}\n${shell.text}`).toBe('0');
  }
  shell.type('exit\r');
  await shell.ended();
  expect(shell.text).toContain('VM web1 runs on node hv1');
  expect(shell.text).toContain('VM web1 runs on node hv2');
  expect(shell.text).toMatch(/✔ web1 done/u);
}
