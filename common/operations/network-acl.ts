import { AppError, isAppError } from '../errors.ts';
import { ACL_BYTES_MAX, ACL_RULES_MAX, type AclDirection, type AclRule, type NetworkAcl } from '../schema/network.ts';
import type { Versioned } from '../schema/resources.ts';
import type { ClusterMirror, OperationContext } from './context.ts';
import { Turns } from '../turns.ts';
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

export function networkAclOperations(context: Context): NetworkAclOperations {
  // All rules of a network are one document: whoever adds many at once would make its own writes fail by the dozen.
  const turns = new Turns<number>();
  return {
    insert: (rule) => turns.take(rule.vni, () => insertRule(context, rule)),
    change: (name, change) => turns.take(name.vni, () => changeRule(context, name, change)),
    remove: (name) => turns.take(name.vni, () => removeRule(context, name)),
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

async function insertRule(context: Context, { vni, direction, description, rule, order }: NewAclRule): Promise<number> {
  refuseUnlessManaged(context.mirror, vni);
  const next = (acl: NetworkAcl): NetworkAcl => {
    if (acl[direction].some((one) => one.description === description)) {
      throw new AppError('exists', 'the network has a rule of this description in this direction', { vni, direction, acl: description });
    }
    return withRules(acl, direction, placed(acl[direction], { description, rule }, order));
  };
  const written = await updateOrCreate(context, vni, next);
  return placeOf(written.doc, direction, description);
}

/** A network's first rule creates the document. */
async function updateOrCreate(context: Context, vni: number, next: (acl: NetworkAcl) => NetworkAcl): Promise<Pick<Versioned<NetworkAcl>, 'doc'>> {
  const target = { kind: 'network-acl', id: String(vni) } as const;
  try {
    return await updateResource(context, target, next);
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
  }
  const first = next({ vni, in: [], out: [] });
  try {
    await createResource(context, target, first);
    return { doc: first };
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
  }
  return updateResource(context, target, next);
}

async function changeRule(context: Context, { vni, description, direction }: AclName, change: { rule?: string | undefined; order?: number | undefined }): Promise<number> {
  const written = await updateResource(context, { kind: 'network-acl', id: String(vni) }, (acl) => {
    const old = acl[direction].find((one) => one.description === description);
    if (old === undefined) throw noSuchRule({ vni, description });
    const others = acl[direction].filter((one) => one !== old);
    const order = change.order ?? acl[direction].indexOf(old);
    return withRules(acl, direction, placed(others, { description, rule: change.rule ?? old.rule }, order));
  });
  return placeOf(written.doc, direction, description);
}

async function removeRule(context: Context, { vni, description, direction }: AclName): Promise<void> {
  const remove = updateResource(context, { kind: 'network-acl', id: String(vni) }, (acl) => {
    const rest = acl[direction].filter((one) => one.description !== description);
    if (rest.length === acl[direction].length) throw noSuchRule({ vni, description });
    return withRules(acl, direction, rest);
  });
  await remove;
}

function placed(rules: readonly AclRule[], rule: AclRule, order: number = rules.length): AclRule[] {
  return rules.toSpliced(Math.min(order, rules.length), 0, rule);
}

function placeOf(acl: NetworkAcl, direction: AclDirection, description: string): number {
  return acl[direction].findIndex((one) => one.description === description);
}

/** @throws AppError 'state' when there would be more than fits. */
function withRules(acl: NetworkAcl, direction: AclDirection, rules: AclRule[]): NetworkAcl {
  const next = { ...acl, [direction]: rules };
  if (rules.length > ACL_RULES_MAX || Buffer.byteLength(JSON.stringify(next)) > ACL_BYTES_MAX) {
    throw new AppError('state', 'the network has as many rules as it can have', { max: ACL_RULES_MAX, maxBytes: ACL_BYTES_MAX });
  }
  return next;
}

/** @throws AppError 'not-found', 'state' for a bridged network: its frames pass us by. */
export function refuseUnlessManaged(mirror: ClusterMirror, vni: number): void {
  const network = mirror.get('network', String(vni));
  if (network === undefined) throw new AppError('not-found', 'no network has this VNI', { vni });
  if (network.doc.type !== 'managed') throw new AppError('state', 'only a managed network can have this', { network: network.doc.description });
}
