import { NOUNS } from '../../client/cli/nouns.ts';
import { isGroup, type Group, type Verb } from '../../client/cli/verb.ts';

export interface FoundVerb {
  /** As it is typed after `pvc`: `vm tag add`. */
  path: string;
  verb: Verb;
}

/** Every command that `pvc` has. */
export async function allVerbs(): Promise<FoundVerb[]> {
  const below = (group: Group, path: string): FoundVerb[] => [
    ...group.verbs.map((verb) => ({ path: `${path} ${verb.name}`, verb })),
    ...(group.groups ?? []).flatMap((inner) => below(inner, `${path} ${inner.name}`)),
  ];
  const loaded = await Promise.all(NOUNS.map((noun) => noun.load()));
  return loaded.flatMap((one) => (isGroup(one) ? below(one, one.name) : [{ path: one.name, verb: one }]));
}

/** Those that none of the command lines begins with. */
export async function verbsWithout(lines: Iterable<string>): Promise<string[]> {
  const given = [...lines];
  const isTried = (path: string): boolean => given.some((line) => line === path || line.startsWith(`${path} `));
  return (await allVerbs()).map(({ path }) => path).filter((path) => !isTried(path));
}
