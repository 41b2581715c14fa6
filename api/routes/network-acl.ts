import { z } from 'zod';
import { directionOf, refuseUnlessManaged, rulesOf, type NetworkAclOperations } from '../../common/operations/network-acl.ts';
import { ACL_RULE_LENGTH_MAX, aclRule } from '../../common/schema/network.ts';
import { networkAclView } from '../../common/view/network-acl.ts';
import type { ApiMirror } from '../cluster.ts';
import type { AclCheck } from '../nft-check.ts';
import { fuzzyLimit } from '../params/fuzzy.ts';
import { freeText, optionalInteger, optionalText, text } from '../params/values.ts';
import { presentAcl } from '../present/network-acl.ts';
import { done, messageReply, ok, route, type Route } from '../route.ts';
import { nameOf, NAME_MAX_CHARS, network, networkOf } from './network-values.ts';

export interface NetworkAclRouteDeps {
  mirror: ApiMirror;
  acls: NetworkAclOperations;
  check: AclCheck;
}

/** A place beyond the end is the end. */
const ORDER_MAX = 1_000_000;

const directionWord = z.enum(['in', 'out']);
const direction = text(directionWord, 'in: towards the network; out: from it.');
const optionalDirection = optionalText(directionWord, 'in or out; may be left out where only one of them has such a rule.');
const ruleText = `One rule of nft without chain and comment, at most ${ACL_RULE_LENGTH_MAX} characters, such as: tcp dport 22 ct state new accept`;
const rule = text(aclRule.shape.rule, ruleText);
const description = text(aclRule.shape.description, 'What to call the rule; unique in its direction.');
const order = optionalInteger({ min: 0, max: ORDER_MAX }, 'Place in its direction, from 0; those from there on move down. At the end when it is missing.');
const acl = text(freeText(NAME_MAX_CHARS), 'Description of the rule, exactly.');

export function networkAclRoutes(deps: NetworkAclRouteDeps): Route[] {
  return [listRoute(deps), ...insertRoutes(deps), ...elementRoutes(deps)];
}

function listRoute(deps: NetworkAclRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/network/:network/acl',
    summary: "List a network's access rules",
    values: z.object({
      network,
      limit: optionalText(fuzzyLimit, 'Only rules whose description matches this regular expression, fuzzily.'),
      direction: optionalText(directionWord, 'Only rules of this direction.'),
    }),
    reply: { code: 200, schema: z.array(networkAclView) },
    handle: (values) => {
      const rules = presentAcl(rulesOf(deps.mirror, networkOf(deps, values.network).doc.vni));
      return ok(rules.filter((one) => (values.direction ?? one.direction) === one.direction && (values.limit?.(one.description) ?? true)));
    },
  });
}

interface Insertion {
  network: string;
  description: string;
  direction: 'in' | 'out';
  rule: string;
  order?: number | undefined;
}

function insertRoutes(deps: NetworkAclRouteDeps): Route[] {
  const insert = async (values: Insertion) => {
    const { doc } = networkOf(deps, values.network);
    refuseUnlessManaged(deps.mirror, doc.vni);
    await deps.check.check(values.rule);
    const place = await deps.acls.insert({ vni: doc.vni, description: values.description, direction: values.direction, rule: values.rule, order: values.order });
    return done(`rule ${values.description} is rule ${place} of direction ${values.direction} of network ${nameOf(doc)}`);
  };
  return [
    route({
      method: 'POST',
      path: '/network/:network/acl',
      summary: 'Add an access rule to a network',
      description: 'nft itself reads the rule first, by itself; a refusal has its words and the place in the rule.',
      values: z.object({ network, description, direction, rule, order }),
      reply: { code: 200, schema: messageReply },
      handle: insert,
    }),
    route({
      method: 'POST',
      path: '/network/:network/acl/:acl',
      summary: 'Add an access rule of this description to a network',
      values: z.object({ network, acl: description, direction, rule, order }),
      reply: { code: 200, schema: messageReply },
      handle: (values) => insert({ ...values, description: values.acl }),
    }),
  ];
}

function elementRoutes(deps: NetworkAclRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/network/:network/acl/:acl',
      summary: 'Show an access rule of a network',
      values: z.object({ network, acl, direction: optionalDirection }),
      reply: {
        code: 200,
        schema: z.union([networkAclView, z.array(networkAclView), z.object({})]),
        description: 'The rule; an empty object when there is none of this description; a list of two when both directions have one and none is given.',
      },
      handle: (values) => {
        const rules = presentAcl(rulesOf(deps.mirror, networkOf(deps, values.network).doc.vni));
        const found = rules.filter((one) => one.description === values.acl && (values.direction ?? one.direction) === one.direction);
        return ok(found.length > 1 ? found : (found[0] ?? {}));
      },
    }),
    route({
      method: 'PUT',
      path: '/network/:network/acl/:acl',
      summary: 'Change the text or the place of an access rule',
      values: z.object({ network, acl, direction: optionalDirection, rule: optionalText(aclRule.shape.rule, ruleText), order }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const { doc } = networkOf(deps, values.network);
        const name = { vni: doc.vni, description: values.acl };
        const found = directionOf(deps.mirror, { ...name, direction: values.direction });
        if (values.rule !== undefined) await deps.check.check(values.rule);
        const place = await deps.acls.change({ ...name, direction: found }, { rule: values.rule, order: values.order });
        return done(`rule ${values.acl} is rule ${place} of direction ${found} of network ${nameOf(doc)}`);
      },
    }),
    route({
      method: 'DELETE',
      path: '/network/:network/acl/:acl',
      summary: 'Remove an access rule from a network',
      values: z.object({ network, acl, direction: optionalDirection }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const { doc } = networkOf(deps, values.network);
        const name = { vni: doc.vni, description: values.acl };
        const found = directionOf(deps.mirror, { ...name, direction: values.direction });
        await deps.acls.remove({ ...name, direction: found });
        return done(`rule ${values.acl} of direction ${found} is removed from network ${nameOf(doc)}`);
      },
    }),
  ];
}
