import { AppError, isAppError, toAppError } from '../errors.ts';
import { Gathered } from '../gathered.ts';
import { ACL_BYTES_MAX, ACL_RULES_MAX, type AclDirection, type AclRule, type NetworkAcl } from '../schema/network.ts';
import type { ClusterMirror, OperationContext } from './context.ts';
import { createResource, updateResource } from './update-resource.ts';

/** Which rule of a network. */
export interface AclName {
  vni: number;
  description: string;
  direction: AclDirection;
}

export interface NewAclRule extends AclName {
  /** Has passed nft's own check. */
  rule: string;
  /** Place in its list, from 0; the end when it is missing or beyond it. */
  order?: number | undefined;
}

/** Every way to change a network's access rules. */
export interface NetworkAclOperations {
  /** @returns the place that it got. */
  insert(rule: NewAclRule): Promise<number>;
  /** Gives a rule another text or another place. @returns its place. */
  change(name: AclName, change: { rule?: string | undefined; order?: number | undefined }): Promise<number>;
  remove(name: AclName): Promise<void>;
}

type Context = Pick<OperationContext, 'store' | 'mirror'>;

/** What becomes of a network's rules, and the place of the one that it is about. @throws AppError when they cannot be changed so. */
type AclChange = (acl: NetworkAcl) => { readonly acl: NetworkAcl; readonly place: number };

interface Asked {
  readonly vni: number;
  readonly change: AclChange;
}

type Answer = { readonly kind: 'done'; readonly place: number } | { readonly kind: 'failed'; readonly error: AppError };

export function networkAclOperations(context: Context): NetworkAclOperations {
  // All rules of a network are one document: changes that come while it is being written wait, and are written together.
  const writes = new Gathered<Asked, Answer>((asked) => writeAll(context, asked));
  const write = async (vni: number, change: AclChange): Promise<number> => {
    const answer = await writes.ask({ vni, change });
    if (answer.kind === 'failed') throw answer.error;
    return answer.place;
  };
  return {
    insert: (rule) => write(rule.vni, (acl) => withInserted(context.mirror, acl, rule)),
    change: (name, change) => write(name.vni, (acl) => withChanged(acl, name, change)),
    remove: async (name) => void (await write(name.vni, (acl) => withoutRule(acl, name))),
  };
}

/** The rules of a network; one without has none of either direction. */
export function rulesOf(mirror: ClusterMirror, vni: number): NetworkAcl {
  return mirror.get('network-acl', String(vni))?.doc ?? { vni, in: [], out: [] };
}

/**
 * Which direction has the rule.
 * @throws AppError 'not-found', 'invalid' when both have it and none is named.
 */
export function directionOf(mirror: ClusterMirror, name: Omit<AclName, 'direction'> & { direction?: AclDirection | undefined }): AclDirection {
  const acl = rulesOf(mirror, name.vni);
  const found = (['in', 'out'] as const).filter((direction) => (name.direction ?? direction) === direction && acl[direction].some((one) => one.description === name.description));
  if (found.length > 1) throw new AppError('invalid', 'both directions have a rule of this description: name the direction', { acl: name.description });
  if (found[0] === undefined) throw noSuchRule(name);
  return found[0];
}

function noSuchRule({ vni, description }: { vni: number; description: string }): AppError {
  return new AppError('not-found', 'the network has no rule of this description', { vni, acl: description });
}

/** Each network's changes in one write, in the order in which they came. */
async function writeAll(context: Context, asked: readonly Asked[]): Promise<Answer[]> {
  const networks = [...new Set(asked.map(({ vni }) => vni))];
  const given = await Promise.all(networks.map((vni) => writeTogether(context, vni, asked.filter((one) => one.vni === vni))));
  const answers = new Map(given.flatMap((its) => [...its]));
  return asked.flatMap((one) => answers.get(one) ?? []);
}

/** Changes of one network. One that cannot be made is left out of the others, and its caller alone is told. */
async function writeTogether(context: Context, vni: number, asked: readonly Asked[]): Promise<Map<Asked, Answer>> {
  let answers = new Map<Asked, Answer>();
  const next = (acl: NetworkAcl): NetworkAcl => {
    const made = madeOf(acl, asked);
    answers = made.answers;
    return made.acl;
  };
  try {
    await updateOrCreate(context, vni, next);
    return answers;
  } catch (error) {
    if (isAppError(error, 'invalid') && asked.length > 1) return oneByOne(context, vni, asked);
    const unwritten: Answer = { kind: 'failed', error: toAppError(error) };
    return new Map(asked.map((one) => [one, refusalOf(answers.get(one)) ?? unwritten]));
  }
}

async function oneByOne(context: Context, vni: number, asked: readonly Asked[]): Promise<Map<Asked, Answer>> {
  const answers = new Map<Asked, Answer>();
  for (const one of asked) for (const [, answer] of await writeTogether(context, vni, [one])) answers.set(one, answer);
  return answers;
}

function refusalOf(answer: Answer | undefined): Answer | undefined {
  return answer?.kind === 'failed' ? answer : undefined;
}

function madeOf(acl: NetworkAcl, asked: readonly Asked[]): { acl: NetworkAcl; answers: Map<Asked, Answer> } {
  let current = acl;
  const answer = (change: AclChange): Answer => {
    try {
      const made = change(current);
      current = made.acl;
      return { kind: 'done', place: made.place };
    } catch (error) {
      return { kind: 'failed', error: toAppError(error) };
    }
  };
  const answers = new Map(asked.map((one) => [one, answer(one.change)]));
  return { acl: current, answers };
}

/** A network's first rule creates the document. */
async function updateOrCreate(context: Context, vni: number, next: (acl: NetworkAcl) => NetworkAcl): Promise<void> {
  const target = { kind: 'network-acl', id: String(vni) } as const;
  const update = async (): Promise<void> => void (await updateResource(context, target, next));
  try {
    return await update();
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
  }
  const none: NetworkAcl = { vni, in: [], out: [] };
  const first = next(none);
  if (first === none) return;
  try {
    await createResource(context, target, first);
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
    await update();
  }
}

function withInserted(mirror: ClusterMirror, acl: NetworkAcl, { vni, direction, description, rule, order }: NewAclRule): ReturnType<AclChange> {
  refuseUnlessManaged(mirror, vni);
  if (acl[direction].some((one) => one.description === description)) {
    throw new AppError('exists', 'the network has a rule of this description in this direction', { vni, direction, acl: description });
  }
  return withRules(acl, { direction, description }, placed(acl[direction], { description, rule }, order));
}

function withChanged(acl: NetworkAcl, { vni, description, direction }: AclName, change: { rule?: string | undefined; order?: number | undefined }): ReturnType<AclChange> {
  const old = acl[direction].find((one) => one.description === description);
  if (old === undefined) throw noSuchRule({ vni, description });
  const others = acl[direction].filter((one) => one !== old);
  const order = change.order ?? acl[direction].indexOf(old);
  return withRules(acl, { direction, description }, placed(others, { description, rule: change.rule ?? old.rule }, order));
}

function withoutRule(acl: NetworkAcl, { vni, description, direction }: AclName): ReturnType<AclChange> {
  const rest = acl[direction].filter((one) => one.description !== description);
  if (rest.length === acl[direction].length) throw noSuchRule({ vni, description });
  return withRules(acl, { direction, description }, rest);
}

function placed(rules: readonly AclRule[], rule: AclRule, order: number = rules.length): AclRule[] {
  return rules.toSpliced(Math.min(order, rules.length), 0, rule);
}

/** @throws AppError 'state' when there would be more than fits. */
function withRules(acl: NetworkAcl, { direction, description }: Pick<AclName, 'direction' | 'description'>, rules: AclRule[]): ReturnType<AclChange> {
  const next = { ...acl, [direction]: rules };
  if (rules.length > ACL_RULES_MAX || Buffer.byteLength(JSON.stringify(next)) > ACL_BYTES_MAX) {
    throw new AppError('state', 'the network has as many rules as it can have', { max: ACL_RULES_MAX, maxBytes: ACL_BYTES_MAX });
  }
  return { acl: next, place: rules.findIndex((one) => one.description === description) };
}

/** @throws AppError 'not-found', 'state' for a bridged network: its frames pass us by. */
export function refuseUnlessManaged(mirror: ClusterMirror, vni: number): void {
  const network = mirror.get('network', String(vni));
  if (network === undefined) throw new AppError('not-found', 'no network has this VNI', { vni });
  if (network.doc.type !== 'managed') throw new AppError('state', 'only a managed network can have this', { network: network.doc.description });
}
