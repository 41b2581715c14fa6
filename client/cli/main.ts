/** The `pvc` command. */
import { holdingClock } from '../../common/clock.ts';
import { isBrokenPipe, runCli } from './run-cli.ts';
import { processTerminal } from './terminal.ts';

/**
 * Zod makes a program of each schema before it parses with it the first time, which pays for a server and not for one command. It looks here for its
 * settings (zod/v4/core), so they can be made before it is loaded.
 */
Object.assign(globalThis, { __zod_globalConfig: { jitless: true } });

process.stdout.on('error', (error) => {
  if (!isBrokenPipe(error)) throw error;
  process.exit();
});
/** Resolves when all is done and said. */
export const finished = runCli(process.argv.slice(2), processTerminal(holdingClock)).then((code) => {
  process.exitCode = code;
});
