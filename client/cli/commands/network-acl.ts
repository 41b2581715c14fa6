import type { NetworkAclView } from '../../../common/view/network-acl.ts';
import { ClientError } from '../../client-error.ts';
import type { Context } from '../context.ts';
import { integer, neededText, one, optional, text } from '../declare.ts';
import { column } from '../output/column.ts';
import { actVerb, listVerb, type Group } from '../verb.ts';
import { DIRECTION, directionOf, NETWORK, type Direction } from './network-parts.ts';

export const ACL_COLUMNS = [
  column<NetworkAclView>('direction', (row) => row.direction),
  column<NetworkAclView>('order', (row) => row.order),
  column<NetworkAclView>('description', (row) => row.description),
  column<NetworkAclView>('rule', (row) => row.rule),
];

const ACL = one('description of the rule', { completes: 'network-acl' });
const ORDER = integer('-o, --order <n>', 'its place in its direction, from 0; those from there on move down', { min: 0 });
const RULE = 'one rule of nft, such as: tcp dport 22 accept';

const list = listVerb({
  name: 'list',
  about: "List a network's access rules, in the order in which they are looked through",
  detail: 'What no rule decides is accepted.',
  arguments: { network: NETWORK, limit: optional('only rules whose description matches this regular expression, anywhere in it') },
  options: DIRECTION,
  columns: ACL_COLUMNS,
  examples: [
    ['pvc network acl list office', 'those of both directions'],
    ['pvc network acl list office --in', 'for what goes towards the network'],
  ],
  rows: async (context, { network, limit, ...given }) => (await context.networks()).listAcl(network, { limit, direction: directionOf(given) }),
});

/** The rules of a description. @throws ClientError 'answer' when there is none. */
async function rulesOf(context: Context, network: string, acl: string, direction: Direction | undefined): Promise<NetworkAclView[]> {
  const found = await (await context.networks()).getAcl(network, acl, { direction });
  if (found.length === 0) throw new ClientError('answer', `network ${network} has no access rule ${acl}${direction === undefined ? '' : ` of direction ${direction}`}`, { status: NOT_FOUND });
  return found;
}

const NOT_FOUND = 404;

const info = listVerb({
  name: 'info',
  about: 'Show the access rules of a description: of each direction one at most',
  arguments: { network: NETWORK, acl: ACL },
  options: DIRECTION,
  columns: ACL_COLUMNS,
  examples: [['pvc network acl info office ssh --columns rule --format raw', 'the rule alone']],
  rows: (context, { network, acl, ...given }) => rulesOf(context, network, acl, directionOf(given)),
});

const add = actVerb({
  name: 'add',
  about: 'Add an access rule to a managed network',
  detail: 'nft itself reads the rule first; what it refuses is not added, and its words are told.',
  arguments: { network: NETWORK },
  options: {
    ...DIRECTION,
    description: neededText('-d, --description <name>', 'what to call it; had once in its direction'),
    rule: neededText('-r, --rule <rule>', RULE),
    order: ORDER,
  },
  examples: [
    ["pvc network acl add office --in -d ssh -r 'tcp dport 22 accept'", 'at the end'],
    ["pvc network acl add office --in -d ping -r 'icmp type echo-request accept' -o 0", 'before all others'],
    ['pvc network acl add office --in -d rest -r drop', 'what no other rule has accepted'],
  ],
  run: async (context, { network, description, rule, order, ...given }) => {
    const direction = directionOf(given);
    if (direction === undefined) throw new ClientError('arguments', 'give --in or --out: which way the packets go');
    return (await context.networks()).addAcl(network, { description, direction, rule, order });
  },
});

const modify = actVerb({
  name: 'modify',
  about: 'Change the text or the place of an access rule',
  arguments: { network: NETWORK, acl: ACL },
  options: { ...DIRECTION, rule: text('-r, --rule <rule>', RULE), order: ORDER },
  examples: [
    ["pvc network acl modify office ssh -r 'tcp dport 22 ip saddr 10.0.0.0/8 accept'", 'its text'],
    ['pvc network acl modify office ssh -o 0', 'before all others'],
  ],
  run: async (context, { network, acl, rule, order, ...given }) => {
    if (rule === undefined && order === undefined) throw new ClientError('arguments', 'give --rule, --order, or both');
    return (await context.networks()).changeAcl(network, acl, { direction: directionOf(given), rule, order });
  },
});

const remove = actVerb({
  name: 'remove',
  about: 'Remove an access rule',
  arguments: { network: NETWORK, acl: ACL },
  options: DIRECTION,
  examples: [
    ['pvc network acl remove office ssh', 'shows it, and asks'],
    ['pvc network acl remove office rest --in --yes', 'where both directions have one'],
  ],
  loses: async (context, { network, acl, ...given }) => {
    const found = await rulesOf(context, network, acl, directionOf(given));
    return found.map(({ direction, order, rule }) => `rule ${order} of direction ${direction} of network ${network} is lost: ${rule}`);
  },
  run: async (context, { network, acl, ...given }) => (await context.networks()).removeAcl(network, acl, { direction: directionOf(given) }),
});

export const ACL_COMMANDS: Group = { name: 'acl', about: 'Access rules of managed networks', verbs: [list, info, add, modify, remove] };
