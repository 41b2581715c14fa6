/**
 * What the two existing command lines ask for, and what they read of the replies: recorded from the clients themselves (0.6 of 2020, whose
 * `vm define` is 0.7's since its own is broken, and 1.0.3) with every node and VM command against a lab of this project.
 */

/** `text`, `number`, `flag`, `list`, `object`, `null`; several joined by `|`; `?` after it: the client has a default. */
export type Reads = Record<string, string>;

export interface Step {
  /** As it is typed. */
  command: string;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** {guest} and {rich} are VMs, {a}, {b} and {c} nodes, {primary} and {secondary} too. */
  path: string;
  query?: string;
  /** Of which VM the definition goes into the form. */
  xml?: 'guest' | 'rich';
  code?: number;
  reads?: Reads;
}

const MESSAGE: Reads = { message: 'text' };
const NODE_STATES: Reads = { name: 'text', daemon_state: 'text', coordinator_state: 'text', domain_state: 'text', domains_count: 'number', load: 'number' };
const NODE_NUMBERS: Reads = { 'vcpu.allocated': 'number', 'memory.total': 'number', 'memory.used': 'number', 'memory.free': 'number', 'memory.allocated': 'number' };
const NODE_OLD: Reads = { ...NODE_STATES, ...NODE_NUMBERS };
const NODE_NEW: Reads = { ...NODE_OLD, 'memory.provisioned': 'number', pvc_version: 'text', health: 'number|text' };
const NODE_FACTS: Reads = { arch: 'text', kernel: 'text', os: 'text', 'vcpu.total': 'number' };

const VM_BOTH: Reads = {
  name: 'text', uuid: 'text', description: 'text', profile: 'text|null', memory: 'number', vcpu: 'number', vcpu_topology: 'text', emulator: 'text', type: 'text', arch: 'text',
  machine: 'text', features: 'list', state: 'text', node: 'text', last_node: 'text', failed_reason: 'text', node_selector: 'text|null', node_limit: 'list|null', node_autostart: 'flag',
  xml: 'text', networks: 'list', 'networks[].type': 'text', 'networks[].source': 'text', 'networks[].model': 'text', 'networks[].mac': 'text', disks: 'list', 'disks[].name': 'text',
  'disks[].type': 'text', 'disks[].dev': 'text', 'disks[].bus': 'text', controllers: 'list', 'controllers[].type': 'text', 'controllers[].model': 'text',
};
const VM_NEW: Reads = {
  ...VM_BOTH,
  'networks[].vni': 'text', 'networks[].rd_bytes': 'number', 'networks[].wr_bytes': 'number', 'networks[].rd_packets': 'number', 'networks[].wr_packets': 'number',
  'networks[].rd_errors': 'number', 'networks[].wr_errors': 'number', 'disks[].rd_req': 'number', 'disks[].wr_req': 'number', 'disks[].rd_bytes': 'number', 'disks[].wr_bytes': 'number',
  migration_method: 'text|null', migration_max_downtime: 'number', tags: 'list', snapshots: 'list', memory_stats: 'object', 'memory_stats.rss': 'number?', 'memory_stats.unused': 'number?',
  vcpu_stats: 'object', 'vcpu_stats.cpu_time': 'number?', vnc: 'object', 'vnc.listen': 'text|null', 'vnc.port': 'text|number|null',
};

export const OLD_COMMAND_LINE: readonly Step[] = [
  {
    command: 'status', method: 'GET', path: '/status',
    reads: { health: 'text', primary_node: 'text', upstream_ip: 'text', 'nodes.total': 'number', 'nodes.run,ready': 'number', 'vms.total': 'number', 'osds.total': 'number', networks: 'number', pools: 'number', volumes: 'number', snapshots: 'number' },
  },
  { command: 'node list', method: 'GET', path: '/node', reads: listed({ ...NODE_OLD, cpu_count: 'number' }) },
  { command: 'node list hv', method: 'GET', path: '/node', query: 'limit=hv', reads: listed(NODE_OLD) },
  { command: 'node info A -l', method: 'GET', path: '/node/{a}', reads: { ...NODE_OLD, ...NODE_FACTS } },
  { command: 'vm define -t A -l A,B,C -s mem -a FILE', method: 'POST', path: '/vm', query: 'node={a}&limit={a}%2C{b}%2C{c}&selector=mem&autostart=True', xml: 'guest', reads: MESSAGE },
  { command: 'vm define FILE', method: 'POST', path: '/vm', query: 'selector=mem&autostart=False', xml: 'rich', reads: MESSAGE },
  {
    command: 'vm list', method: 'GET', path: '/vm',
    reads: listed({ name: 'text', uuid: 'text', state: 'text', memory: 'number', vcpu: 'number', node: 'text', migrated: 'text', networks: 'list', 'networks[].source': 'text' }),
  },
  { command: 'vm list (each network)', method: 'GET', path: '/network/1001', code: 404 },
  { command: 'vm list GUEST -t A -s stop', method: 'GET', path: '/vm', query: 'limit={guest}&node={a}&state=stop', reads: listed({ name: 'text' }) },
  { command: 'vm info RICH -l', method: 'GET', path: '/vm/{rich}', reads: VM_BOTH },
  { command: 'vm meta GUEST -l A,B -s load -A -p prof', method: 'POST', path: '/vm/{guest}/meta', query: 'limit={a}%2C{b}&selector=load&autostart=False&profile=prof', reads: MESSAGE },
  { command: "vm meta GUEST -l ''", method: 'POST', path: '/vm/{guest}/meta', query: 'limit=', reads: MESSAGE },
  { command: 'vm start GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=start', reads: MESSAGE },
  { command: 'vm dump GUEST', method: 'GET', path: '/vm/{guest}', reads: { xml: 'text' } },
  { command: 'vm modify -r RICH FILE', method: 'PUT', path: '/vm/{rich}', query: 'restart=True', xml: 'rich', reads: MESSAGE },
  { command: 'vm log GUEST -l 3', method: 'GET', path: '/vm/{guest}/console', query: 'lines=3', reads: { data: 'text' } },
  { command: 'vm migrate GUEST -t B', method: 'POST', path: '/vm/{guest}/node', query: 'node={b}&action=migrate&force=False', reads: MESSAGE },
  { command: 'vm migrate GUEST -t C -f', method: 'POST', path: '/vm/{guest}/node', query: 'node={c}&action=migrate&force=True', reads: MESSAGE },
  { command: 'vm unmigrate GUEST', method: 'POST', path: '/vm/{guest}/node', query: 'action=unmigrate&force=False', reads: MESSAGE },
  { command: 'vm move GUEST -t B', method: 'POST', path: '/vm/{guest}/node', query: 'node={b}&action=move&force=False', reads: MESSAGE },
  { command: 'vm restart GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=restart', reads: MESSAGE },
  { command: 'vm shutdown GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=shutdown', reads: MESSAGE },
  { command: 'vm stop GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=stop', reads: MESSAGE },
  { command: 'vm disable GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=disable', reads: MESSAGE },
  { command: 'vm flush-locks GUEST', method: 'POST', path: '/vm/{guest}/locks', code: 510, reads: MESSAGE },
  { command: 'vm undefine GUEST', method: 'DELETE', path: '/vm/{guest}', query: 'delete_disks=False', reads: MESSAGE },
  { command: 'vm remove RICH', method: 'DELETE', path: '/vm/{rich}', query: 'delete_disks=True', reads: MESSAGE },
  { command: 'vm info GUEST, gone', method: 'GET', path: '/vm/{guest}', code: 404, reads: MESSAGE },
  { command: 'node primary (first)', method: 'GET', path: '/provisioner/status', reads: { active: 'object|null', reserved: 'object|null', scheduled: 'object|null' } },
  { command: 'node primary PRIMARY', method: 'POST', path: '/node/{primary}/coordinator-state', query: 'state=primary', reads: MESSAGE },
  { command: 'node secondary SECONDARY', method: 'POST', path: '/node/{secondary}/coordinator-state', query: 'state=secondary', reads: MESSAGE },
  { command: 'node flush -w C', method: 'POST', path: '/node/{c}/domain-state', query: 'state=flush&wait=true', reads: MESSAGE },
  { command: 'node ready C', method: 'POST', path: '/node/{c}/domain-state', query: 'state=ready&wait=false', reads: MESSAGE },
];

export const NEW_COMMAND_LINE: readonly Step[] = [
  {
    command: 'cluster status', method: 'GET', path: '/status',
    reads: {
      'cluster_health.health': 'number', 'cluster_health.messages': 'list', maintenance: 'text', primary_node: 'text', pvc_version: 'text', upstream_ip: 'text', 'nodes.total': 'number', 'vms.total': 'number',
      'osds.total': 'number', networks: 'number', pools: 'number', volumes: 'number', snapshots: 'number', 'resources.cpu.load': 'number', 'resources.cpu.total': 'number', 'resources.cpu.utilization': 'number',
      'resources.memory.used': 'number', 'resources.memory.total': 'number', 'resources.memory.utilization': 'number', 'resources.disk.used': 'number', 'resources.disk.total': 'number', 'resources.disk.utilization': 'number',
    },
  },
  { command: 'cluster task', method: 'GET', path: '/tasks', reads: { active: 'object|null', reserved: 'object|null', scheduled: 'object|null' } },
  { command: 'node list hv -ds run -cs secondary -vs ready', method: 'GET', path: '/node', query: 'limit=hv&daemon_state=run&coordinator_state=secondary&domain_state=ready', reads: listed(NODE_NEW) },
  { command: 'node info A -f long', method: 'GET', path: '/node/{a}', reads: { ...NODE_NEW, ...NODE_FACTS, health_details: 'list' } },
  { command: 'node is-primary', method: 'GET', path: '/status/primary_node', reads: { primary_node: 'text' } },
  {
    command: 'vm define -t A -l A,B,C -s mem -a -m live -d 400 -g t1 -G t2 FILE', method: 'POST', path: '/vm', xml: 'guest', reads: MESSAGE,
    query: 'node={a}&limit={a}%2C{b}%2C{c}&selector=mem&autostart=True&migration_method=live&migration_max_downtime=400&user_tags=t1&protected_tags=t2',
  },
  { command: 'vm define FILE', method: 'POST', path: '/vm', query: 'selector=none&autostart=False&migration_method=none&migration_max_downtime=300', xml: 'rich', reads: MESSAGE },
  {
    command: 'vm list', method: 'GET', path: '/vm', query: 'negate=False',
    reads: listed({ name: 'text', state: 'text', tags: 'list', snapshots: 'list', memory: 'number', vcpu: 'number', node: 'text', migrated: 'text', networks: 'list', 'networks[].vni': 'text' }),
  },
  { command: 'vm list (the networks)', method: 'GET', path: '/network', reads: { '': 'list' } },
  { command: 'vm list GUEST -t A -s stop -g t1', method: 'GET', path: '/vm', query: 'limit={guest}&node={a}&state=stop&tag=t1&negate=False', reads: listed({ name: 'text', 'tags[].name': 'text', 'tags[].type': 'text' }) },
  { command: 'vm list -n -s start', method: 'GET', path: '/vm', query: 'state=start&negate=True', reads: listed({ name: 'text' }) },
  { command: 'vm info RICH -f long', method: 'GET', path: '/vm/{rich}', reads: VM_NEW },
  { command: 'vm start GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=start&force=False&wait=False', reads: MESSAGE },
  { command: 'vm tag add GUEST t3', method: 'POST', path: '/vm/{guest}/tags', query: 'action=add&tag=t3&protected=False', reads: MESSAGE },
  { command: 'vm tag add GUEST p3 -p', method: 'POST', path: '/vm/{guest}/tags', query: 'action=add&tag=p3&protected=True', reads: MESSAGE },
  { command: 'vm tag remove GUEST t3', method: 'POST', path: '/vm/{guest}/tags', query: 'action=remove&tag=t3&protected=False', reads: MESSAGE },
  { command: 'vm tag get GUEST', method: 'GET', path: '/vm/{guest}/tags', reads: { tags: 'list', 'tags[].name': 'text', 'tags[].type': 'text', 'tags[].protected': 'flag' } },
  {
    command: 'vm meta GUEST -l A,B -s load -A -m none -d 500 -p prof', method: 'POST', path: '/vm/{guest}/meta', reads: MESSAGE,
    query: 'limit={a}%2C{b}&selector=load&autostart=False&migration_method=none&migration_max_downtime=500&profile=prof',
  },
  { command: "vm meta GUEST -l ''", method: 'POST', path: '/vm/{guest}/meta', query: 'limit=&migration_method=none', reads: MESSAGE },
  { command: 'vm vcpu, memory, network, volume get RICH', method: 'GET', path: '/vm/{rich}', reads: { xml: 'text' } },
  { command: 'vm modify RICH -y FILE', method: 'PUT', path: '/vm/{rich}', query: 'restart=False', xml: 'rich', reads: MESSAGE },
  { command: 'vm log GUEST -l 5', method: 'GET', path: '/vm/{guest}/console', query: 'lines=5', reads: { data: 'text' } },
  { command: 'vm migrate GUEST -t B -w', method: 'POST', path: '/vm/{guest}/node', query: 'node={b}&action=migrate&force=false&wait=true&force_live=false', reads: MESSAGE },
  { command: 'vm migrate GUEST -t C -f -w --force-live', method: 'POST', path: '/vm/{guest}/node', query: 'node={c}&action=migrate&force=true&wait=true&force_live=true', reads: MESSAGE },
  { command: 'vm unmigrate GUEST -w', method: 'POST', path: '/vm/{guest}/node', query: 'action=unmigrate&force=false&wait=true&force_live=false', reads: MESSAGE },
  { command: 'vm move GUEST -t B -w', method: 'POST', path: '/vm/{guest}/node', query: 'node={b}&action=move&force=false&wait=true&force_live=false', reads: MESSAGE },
  { command: 'vm restart GUEST -w', method: 'POST', path: '/vm/{guest}/state', query: 'state=restart&force=False&wait=True', reads: MESSAGE },
  { command: 'vm shutdown GUEST -w', method: 'POST', path: '/vm/{guest}/state', query: 'state=shutdown&force=False&wait=True', reads: MESSAGE },
  { command: 'vm disable GUEST', method: 'POST', path: '/vm/{guest}/state', query: 'state=disable&force=False&wait=False', reads: MESSAGE },
  { command: 'vm rename GUEST NEW', method: 'POST', path: '/vm/{guest}/rename', query: 'new_name={guest}-2', reads: MESSAGE },
  { command: 'vm start --force NEW', method: 'POST', path: '/vm/{guest}-2/state', query: 'state=start&force=True&wait=False', reads: MESSAGE },
  { command: 'vm stop NEW', method: 'POST', path: '/vm/{guest}-2/state', query: 'state=stop&force=False&wait=False', reads: MESSAGE },
  { command: 'vm disable --force NEW', method: 'POST', path: '/vm/{guest}-2/state', query: 'state=disable&force=True&wait=False', reads: MESSAGE },
  { command: 'vm undefine NEW', method: 'DELETE', path: '/vm/{guest}-2', query: 'delete_disks=False', reads: MESSAGE },
  { command: 'vm remove RICH', method: 'DELETE', path: '/vm/{rich}', query: 'delete_disks=True', reads: MESSAGE },
  { command: 'vm info NEW, gone', method: 'GET', path: '/vm/{guest}-2', code: 404, reads: MESSAGE },
  { command: 'node flush C -w', method: 'POST', path: '/node/{c}/domain-state', query: 'state=flush', reads: MESSAGE },
  { command: 'node flush C -w (each second)', method: 'GET', path: '/node/{c}', reads: { domain_state: 'text' } },
  { command: 'node ready C -w', method: 'POST', path: '/node/{c}/domain-state', query: 'state=ready', reads: MESSAGE },
  { command: 'node primary PRIMARY -w', method: 'POST', path: '/node/{primary}/coordinator-state', query: 'state=primary', reads: MESSAGE },
  { command: 'node primary PRIMARY -w (each second)', method: 'GET', path: '/node/{primary}', reads: { coordinator_state: 'text' } },
  { command: 'node secondary SECONDARY -w', method: 'POST', path: '/node/{secondary}/coordinator-state', query: 'state=secondary', reads: MESSAGE },
];

function listed(reads: Reads): Reads {
  return { '': 'list', ...Object.fromEntries(Object.entries(reads).map(([path, type]) => [`[].${path}`, type])) };
}

/** Replaces {names} of a step. */
export function filled(text: string, names: Record<string, string>): string {
  return text.replace(/\{(\w+)\}/gu, (_all, name: string) => names[name] ?? `{${name}}`);
}

/** What the client would not find in the reply, or not as the type that it takes it for; empty when all is there. */
export function missing(reply: unknown, reads: Reads): string[] {
  return Object.entries(reads).flatMap(([path, type]) => {
    const optional = type.endsWith('?');
    const types = type.replace('?', '').split('|');
    const found = at(reply, path === '' ? [] : path.replaceAll('[]', '.[]').split('.').filter((part) => part !== ''));
    return found.filter((value) => (value === undefined ? !optional : !types.includes(typeOf(value)))).map((value) => `${path}: ${value === undefined ? 'missing' : `${typeOf(value)}, not ${type}`}`);
  });
}

function at(value: unknown, parts: readonly string[]): unknown[] {
  const [part, ...rest] = parts;
  if (part === undefined) return [value];
  // A list without elements would prove nothing.
  if (part === '[]') return Array.isArray(value) && value.length > 0 ? value.flatMap((one) => at(one, rest)) : [undefined];
  return typeof value === 'object' && value !== null ? at((value as Record<string, unknown>)[part], rest) : [undefined];
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  return { string: 'text', number: 'number', boolean: 'flag' }[typeof value as string] ?? 'object';
}
