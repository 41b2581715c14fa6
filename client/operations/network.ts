import { z } from 'zod';
import { dhcpLeaseView } from '../../common/view/dhcp-lease.ts';
import { networkAclView } from '../../common/view/network-acl.ts';
import { networkView } from '../../common/view/network.ts';
import { operation } from '../operation.ts';
import { clearable, flag, limit, message, name, names, text } from './values.ts';

const network = z.union([name, z.int().min(1)]);
const direction = z.enum(['in', 'out']);
const order = z.int().min(0).optional();

const networkSettings = {
  mtu: z.int().min(1).nullable().optional(),
  domain: clearable,
  name_servers: names.nullable().optional(),
  ip4_network: clearable,
  ip4_gateway: clearable,
  ip6_network: clearable,
  ip6_gateway: clearable,
  dhcp4: flag,
  dhcp4_start: clearable,
  dhcp4_end: clearable,
  nat: flag,
  anti_spoofing: flag,
};

export const NETWORK = {
  list: operation({ method: 'GET', path: '/network', values: z.strictObject({ limit }), reply: z.array(networkView) }),
  get: operation({ method: 'GET', path: '/network/:network', values: z.strictObject({ network }), reply: networkView }),
  create: operation({
    method: 'POST',
    path: '/network',
    values: z.strictObject({ vni: z.int().min(1), description: name, nettype: z.enum(['bridged', 'managed']), ...networkSettings }),
    reply: message,
  }),
  modify: operation({ method: 'PUT', path: '/network/:network', values: z.strictObject({ network, description: name.optional(), ...networkSettings }), reply: message }),
  remove: operation({ method: 'DELETE', path: '/network/:network', values: z.strictObject({ network }), reply: message }),
  listAcl: operation({ method: 'GET', path: '/network/:network/acl', values: z.strictObject({ network, limit, direction: direction.optional() }), reply: z.array(networkAclView) }),
  getAcl: operation({
    method: 'GET',
    path: '/network/:network/acl/:acl',
    values: z.strictObject({ network, acl: name, direction: direction.optional() }),
    reply: z.union([networkAclView, z.array(networkAclView), z.object({})]),
  }),
  addAcl: operation({ method: 'POST', path: '/network/:network/acl', values: z.strictObject({ network, description: name, direction, rule: text, order }), reply: message }),
  changeAcl: operation({
    method: 'PUT',
    path: '/network/:network/acl/:acl',
    values: z.strictObject({ network, acl: name, direction: direction.optional(), rule: text.optional(), order }),
    reply: message,
  }),
  removeAcl: operation({ method: 'DELETE', path: '/network/:network/acl/:acl', values: z.strictObject({ network, acl: name, direction: direction.optional() }), reply: message }),
  listLeases: operation({ method: 'GET', path: '/network/:network/lease', values: z.strictObject({ network, limit, static: flag }), reply: z.array(dhcpLeaseView) }),
  getLease: operation({ method: 'GET', path: '/network/:network/dhcp/:lease', values: z.strictObject({ network, lease: name }), reply: dhcpLeaseView }),
  reserve: operation({
    method: 'POST',
    path: '/network/:network/lease',
    values: z.strictObject({ network, macaddress: name, ipaddress: names.optional(), hostname: name.optional() }),
    reply: message,
  }),
  unreserve: operation({ method: 'DELETE', path: '/network/:network/dhcp/:lease', values: z.strictObject({ network, lease: name }), reply: message }),
} as const;
