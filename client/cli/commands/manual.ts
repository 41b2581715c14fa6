import { textVerb, type Verb } from '../verb.ts';

/** Not a noun: `pvc manual` alone. */
export const MANUAL_COMMAND: Verb = textVerb({
  name: 'manual',
  about: 'Print the manual page',
  examples: [['pvc manual | man -l -', 'read it']],
  run: async (context) => {
    const [{ NOUNS }, { manualPage }] = await Promise.all([import('../nouns.ts'), import('../manual.ts')]);
    context.write(manualPage(await Promise.all(NOUNS.map((noun) => noun.load()))));
  },
});
