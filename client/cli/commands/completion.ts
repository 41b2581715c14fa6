import { oneWord } from '../declare.ts';
import { textVerb, type Verb } from '../verb.ts';

export const COMPLETION_COMMAND: Verb = textVerb({
  name: 'completion',
  about: 'Print what a shell needs to complete commands, options and names of the cluster',
  arguments: { shell: oneWord(['bash', 'zsh', 'fish'], 'the shell') },
  examples: [
    ['source <(pvc completion bash)', 'for this shell; or into ~/.bashrc'],
    ['pvc completion zsh > ~/.zfunc/_pvc', 'where fpath has ~/.zfunc'],
    ['pvc completion fish > ~/.config/fish/completions/pvc.fish', 'from the next shell on'],
  ],
  run: async (context, { shell }) => context.write((await import('../completion-scripts.ts')).COMPLETION_SCRIPTS[shell]),
});
