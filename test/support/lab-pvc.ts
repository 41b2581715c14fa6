import { expect } from 'vitest';
import type { Lab } from './lab.ts';
import { bundledPvc, type PvcCommand, type Result, type Screen } from './pvc-command.ts';

type Env = Record<string, string>;

interface Given {
  env?: Env;
  limitMs?: number;
}

/** One command line, and what it must print. */
export type Step = readonly [line: string, says?: RegExp, given?: Given];

/** `pvc` on a lab, as somebody types it; remembers the lines that have succeeded there. */
export class LabPvc {
  readonly command: PvcCommand;
  readonly succeeded = new Set<string>();

  constructor(lab: Pick<Lab, 'url' | 'token'>) {
    this.command = bundledPvc({ PVC_API_URL: lab.url, PVC_API_TOKEN: lab.token });
  }

  async run(line: string, given: Given = {}): Promise<Result> {
    const result = await this.command.run(wordsOf(line), given);
    this.#note(line, result.code);
    return result;
  }

  /** Its standard output. */
  async succeeds(line: string, says = /^/u, given: Given = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(line, given);
    expect(code, `${line}: ${stderr}`).toBe(0);
    expect(stdout, line).toMatch(says);
    return stdout;
  }

  /** One after the other. */
  async all(steps: readonly Step[]): Promise<void> {
    for (const [line, says, given] of steps) await this.succeeds(line, says, given);
  }

  /** In one line on standard error, and nothing is printed. */
  async refuses(line: string, code: number, says: RegExp): Promise<void> {
    const result = await this.run(line);
    expect([result.code, result.stdout], line).toEqual([code, '']);
    expect(result.stderr, line).toMatch(/^pvc: .*\n$/u);
    expect(result.stderr, line).toMatch(says);
  }

  /** On a pseudo-terminal. */
  open(line: string, env: Env = {}, limitMs?: number): Screen {
    const screen = this.command.open(`pvc ${line}`, env, limitMs);
    return {
      get text() {
        return screen.text;
      },
      type: (keys) => screen.type(keys),
      see: (what, limitMs) => screen.see(what, limitMs),
      ended: async () => {
        const code = await screen.ended();
        this.#note(line, code);
        return code;
      },
    };
  }

  #note(line: string, code: number): void {
    if (code === 0) this.succeeded.add(line);
  }
}

/** As a shell has them; quotes are single ones. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|\S+/gu)].map(([word, quoted]) => quoted ?? word);
}
