import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ClientError, toClientError } from '../../client-error.ts';
import type { VmClient } from '../../vm-client.ts';
import type { Context } from '../context.ts';
import { canAsk, hasColours } from '../terminal.ts';
import type { Reply } from '../verb.ts';
import { faultOf } from './check-definition.ts';
import { runEditor } from './run-editor.ts';
import { shownDifference } from './shown-difference.ts';

export interface EditOptions {
  readonly restart: true | undefined;
  /** Write without asking. */
  readonly yes: boolean;
}

/**
 * Lets somebody edit a VM's definition and writes it. Whatever is not written is kept in its file, whose name is told.
 * @throws ClientError 'arguments' when it is not valid, 'answer' when the cluster refuses it, 'outcome' when somebody else has changed it,
 * 'aborted' when it shall not be written.
 */
export async function editDefinition(context: Context, vm: string, options: EditOptions): Promise<Reply> {
  const vms = await context.vms();
  const before = await vms.definition(vm);
  const file = join(mkdtempSync(join(tmpdir(), 'pvc-edit-')), `${vm.replaceAll(/[^\w.-]/gu, '_')}.xml`);
  writeFileSync(file, before, { mode: 0o600 });
  const after = await edited(context, { vms, vm, before, file, options });
  rmSync(dirname(file), { recursive: true });
  return after;
}

interface Editing {
  readonly vms: VmClient;
  readonly vm: string;
  readonly before: string;
  readonly file: string;
  readonly options: EditOptions;
}

/** Again and again, as long as somebody wants to mend it. */
async function edited(context: Context, editing: Editing): Promise<Reply> {
  for (;;) {
    await runEditor(context.terminal, editing.file);
    try {
      return await written(context, editing, readFileSync(editing.file, 'utf8'));
    } catch (error) {
      const known = toClientError(error);
      if (known.kind !== 'aborted' && (await wantsAgain(context, known))) continue;
      context.note(`your text is kept in ${editing.file}`);
      throw known;
    }
  }
}

async function written(context: Context, { vms, vm, before, options }: Editing, after: string): Promise<Reply> {
  if (after === before) return { message: 'nothing was changed' };
  const fault = faultOf(before, after);
  if (fault !== undefined) throw new ClientError('arguments', `the definition was not written: ${fault}`);
  const { stderr, env } = context.terminal;
  stderr.write(await shownDifference(before, after, hasColours(stderr, env)));
  if (!options.yes) await allowed(context, vm);
  if ((await vms.definition(vm)) !== before) throw new ClientError('outcome', 'the definition was not written: somebody has changed it meanwhile');
  return vms.modify(vm, after, { restart: options.restart });
}

async function allowed(context: Context, vm: string): Promise<void> {
  if (!canAsk(context.terminal)) throw new ClientError('arguments', 'the definition was not written: say --yes, there is no terminal to ask at');
  const { askYes } = await import('../prompt.ts');
  if (!(await askYes(context.terminal, `Write this definition of VM ${vm}?`))) throw new ClientError('aborted', 'the definition was not written');
}

async function wantsAgain(context: Context, fault: ClientError): Promise<boolean> {
  if (!canAsk(context.terminal)) return false;
  context.note(`pvc: ${fault.message}`);
  const { askWhich } = await import('../prompt.ts');
  const answer = await askWhich(context.terminal, 'What now?', [{ value: 'again', name: 'edit it again' }, { value: 'end', name: 'end, and keep the text' }]);
  return answer === 'again';
}
