/** The `pvc` command. */
import { holdingClock } from '../../common/clock.ts';
import { isBrokenPipe, runCli } from './run-cli.ts';
import { processTerminal } from './terminal.ts';

process.stdout.on('error', (error) => {
  if (!isBrokenPipe(error)) throw error;
  process.exit();
});
process.exitCode = await runCli(process.argv.slice(2), processTerminal(holdingClock));
