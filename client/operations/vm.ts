import { z } from 'zod';
import { migrationMethod, selector } from '../../common/schema/vm.ts';
import { vmConsoleView, vmMetaView, vmNodeView, vmStateView, vmTagsView, vmView } from '../../common/view/vm.ts';
import { operation } from '../operation.ts';
import { clearable, flag, limit, lines, message, name, names, text } from './values.ts';

const node = name;
const vm = name;
const downtimeMs = z.int().min(1).max(60_000).optional();

export const VM = {
  list: operation({
    method: 'GET',
    path: '/vm',
    values: z.strictObject({
      limit,
      node: node.optional(),
      state: z.enum(['start', 'restart', 'shutdown', 'stop', 'disable', 'fail', 'migrate', 'unmigrate', 'provision', 'import', 'restore', 'mirror']).optional(),
      tag: name.optional(),
      negate: flag,
    }),
    reply: z.array(vmView),
  }),
  get: operation({ method: 'GET', path: '/vm/:vm', values: z.strictObject({ vm }), reply: vmView }),
  define: operation({
    method: 'POST',
    path: '/vm',
    values: z.strictObject({
      xml: text,
      create_volumes: names.optional(),
      node: node.optional(),
      selector: selector.optional(),
      limit: names.optional(),
      autostart: flag,
      migration_method: migrationMethod.optional(),
      migration_max_downtime: downtimeMs,
      profile: name.optional(),
      user_tags: names.optional(),
      protected_tags: names.optional(),
    }),
    reply: message,
  }),
  createFromTemplate: operation({ method: 'POST', path: '/vm/:vm', values: z.strictObject({ vm, vm_template: name, description: text.optional() }), reply: message }),
  modify: operation({ method: 'PUT', path: '/vm/:vm', values: z.strictObject({ vm, xml: text, create_volumes: names.optional(), restart: flag }), reply: message }),
  remove: operation({ method: 'DELETE', path: '/vm/:vm', slow: true, values: z.strictObject({ vm, delete_disks: flag }), reply: message }),
  state: operation({ method: 'GET', path: '/vm/:vm/state', values: z.strictObject({ vm }), reply: vmStateView }),
  setState: operation({
    method: 'POST',
    path: '/vm/:vm/state',
    values: z.strictObject({ vm, state: z.enum(['start', 'shutdown', 'stop', 'restart', 'disable']), force: flag, wait: flag }),
    reply: message,
  }),
  node: operation({ method: 'GET', path: '/vm/:vm/node', values: z.strictObject({ vm }), reply: vmNodeView }),
  setNode: operation({
    method: 'POST',
    path: '/vm/:vm/node',
    values: z.strictObject({
      vm,
      action: z.enum(['migrate', 'unmigrate', 'move', 'abort']),
      node: node.optional(),
      selector: selector.optional(),
      permanent: flag,
      force: flag,
      force_live: flag,
      wait: flag,
    }),
    reply: message,
  }),
  meta: operation({ method: 'GET', path: '/vm/:vm/meta', values: z.strictObject({ vm }), reply: vmMetaView }),
  setMeta: operation({
    method: 'POST',
    path: '/vm/:vm/meta',
    values: z.strictObject({
      vm,
      limit: names.nullable().optional(),
      selector: selector.nullable().optional(),
      autostart: flag,
      profile: clearable,
      migration_method: migrationMethod.nullable().optional(),
      migration_max_downtime: downtimeMs,
      on_flush_blocked: z.enum(['block', 'shutdown']).nullable().optional(),
    }),
    reply: message,
  }),
  tags: operation({ method: 'GET', path: '/vm/:vm/tags', values: z.strictObject({ vm }), reply: vmTagsView }),
  changeTag: operation({ method: 'POST', path: '/vm/:vm/tags', values: z.strictObject({ vm, action: z.enum(['add', 'remove']), tag: name, protected: flag }), reply: message }),
  rename: operation({ method: 'POST', path: '/vm/:vm/rename', values: z.strictObject({ vm, new_name: name }), reply: message }),
  console: operation({ method: 'GET', path: '/vm/:vm/console', values: z.strictObject({ vm, lines }), reply: vmConsoleView }),
  definition: operation({ method: 'GET', path: '/vm/:vm/dump', values: z.strictObject({ vm }), reply: z.string() }),
  freeLocks: operation({ method: 'POST', path: '/vm/:vm/locks', slow: true, values: z.strictObject({ vm }), reply: message }),
} as const;
