import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { ZooKeeperStore } from '../../../common/store/zookeeper-store.ts';
import { Machine, machineMissing, MACHINE_ADDRESS } from '../../support/machine.ts';
import { until } from '../../support/until.ts';
import { freePorts, hasZooKeeper, startZooKeeper, type Ensemble } from '../../support/zookeeper-server.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
/** An emulated processor is some fifteen times slower than this machine's, and others may be at work here. */
const LIMIT_MS = 240_000;
const TEST_LIMIT_MS = 480_000;
const REQUEST_LIMIT_MS = 20_000;

/** Long enough for a busy emulator, short enough to be noticed where something ended without a goodbye. */
const SESSION_S = 60;

const TOKEN = 'a-token-of-the-systemd-test';
const FLOATING = '10.0.2.100';
/** This machine's loopback as the guest sees it. */
const OUTSIDE = '10.0.2.2';
const GUEST_UUID = '0d5c1c8e-7c55-4a3e-9a57-2f0e6a3b9d11';

/** No kernel, no disk: its firmware finds nothing to start, and it runs. */
const GUEST = `<domain type='qemu'>
  <name>idle</name>
  <uuid>${GUEST_UUID}</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='pty'><target port='0'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>`;

/** The steps 2, 4 and 5 of the installation by hand; the programs of step 1 are this machine's. */
const PREPARE = `
bind ${ROOT}/dist /usr/lib/pvc/dist
bind ${existsSync(`${ROOT}/node_modules`) ? realpathSync(`${ROOT}/node_modules`) : ''} /usr/lib/pvc/node_modules
$busybox cp /new${ROOT}/package.json /new${ROOT}/README.md /new/usr/lib/pvc/
$busybox cp /new${ROOT}/systemd/pvcd.service /new${ROOT}/systemd/pvc-api.service /new${ROOT}/systemd/pvc.target /new/etc/systemd/system/
$busybox mkdir -p /new/etc/pvc/ssh
$busybox chmod 700 /new/etc/pvc /new/etc/pvc/ssh
put pvcd.yaml /etc/pvc/pvcd.yaml 644
put pvc-api.yaml /etc/pvc/pvc-api.yaml 600
put slow.conf /etc/systemd/system/pvc-api.service.d/slow.conf 644
put slow.conf /etc/systemd/system/pvcd.service.d/slow.conf 644
`;

/** @param zookeeper host:port */
const files = (zookeeper: string): Record<string, string> => ({
  'pvcd.yaml': stringify({
    node: 'hv1',
    address: MACHINE_ADDRESS,
    coordinators: ['hv1'],
    zookeeper: { hosts: [zookeeper], session_timeout_s: SESSION_S },
    networking: { cluster: { device: 'eth0', floating_address: `${FLOATING}/24` } },
    initial_domain_state: 'ready',
  }),
  'pvc-api.yaml': stringify({
    pvc: {
      debug: false,
      coordinators: [zookeeper],
      zookeeper_session_timeout_s: SESSION_S,
      api: {
        listen_address: FLOATING,
        authentication: { enabled: true, secret_key: 'k'.repeat(40), tokens: [{ description: 'test', token: TOKEN }] },
        ssl: { enabled: false },
      },
    },
  }),
  'slow.conf': '[Service]\nTimeoutStartSec=300\n',
});

const missing = [machineMissing(), hasZooKeeper() ? undefined : 'ZooKeeper', existsSync(`${ROOT}/dist/daemons/pvc-api.js`) ? undefined : 'npm run build'].find((what) => what !== undefined);

describe.skipIf(missing !== undefined)('the units under a systemd that is process 1', { timeout: TEST_LIMIT_MS }, () => {
  let ensemble: Ensemble;
  let store: ZooKeeperStore;
  let machine: Machine;
  let api = '';

  beforeAll(async () => {
    ensemble = await startZooKeeper(1, SESSION_S * 1_000);
    store = new ZooKeeperStore({ hosts: ensemble.hosts, sessionTimeoutMs: SESSION_S * 1_000, clock: systemClock, log: silentLogger });
    await store.start(new AbortController().signal);
    const [port = 0] = await freePorts(1);
    api = `http://127.0.0.1:${port}/api/v1`;
    const [server] = ensemble.servers;
    machine = await Machine.start({
      prepare: PREPARE,
      files: files(`${OUTSIDE}:${server?.port}`),
      forwards: [`hostfwd=tcp:127.0.0.1:${port}-${FLOATING}:7370`],
    });
  }, TEST_LIMIT_MS);

  afterAll(async () => {
    await machine?.stop();
    await store?.stop();
    await ensemble?.stop();
  }, TEST_LIMIT_MS);

  /** Properties of a unit as systemd knows them. */
  async function show(unit: string, ...names: string[]): Promise<Record<string, string>> {
    const lines = (await machine.exec(`systemctl show ${names.map((name) => `-p ${name}`).join(' ')} ${unit}`)).split('\n');
    return Object.fromEntries(lines.map((line): [string, string] => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  }

  /** What systemd and the daemons wrote, with the time first. */
  async function journal(): Promise<string> {
    return machine.exec('journalctl -b --no-pager -o short-monotonic -u pvcd -u pvc-api');
  }

  async function journalHas(text: string, limitMs = LIMIT_MS): Promise<void> {
    await machine.exec(`for i in $(seq ${limitMs / 1_000}); do journalctl -b -o cat | grep -qF -- '${text}' && exit 0; sleep 1; done; exit 1`, limitMs + REQUEST_LIMIT_MS).catch(async (error: unknown) => {
      throw new Error(`the journal has no "${text}": ${await journal()}`, { cause: error });
    });
  }

  /** Waits inside, where a look costs no round trip; fails with the journal. */
  async function becomes(unit: string, state: string, limitMs = LIMIT_MS): Promise<void> {
    await machine.exec(`for i in $(seq ${limitMs / 1_000}); do [ "$(systemctl is-active ${unit})" = ${state} ] && exit 0; sleep 1; done; exit 1`, limitMs + REQUEST_LIMIT_MS).catch(async (error: unknown) => {
      throw new Error(`${unit} did not become ${state}: ${await journal()}`, { cause: error });
    });
  }

  async function call(method: 'GET' | 'POST', path: string, values: Record<string, string> = {}): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${api}${path}`, {
      method,
      headers: { 'X-Api-Key': TOKEN },
      ...(method === 'GET' ? {} : { body: new URLSearchParams(values) }),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    return { status: response.status, body: await response.json() };
  }

  async function document(path: string): Promise<unknown> {
    return (await store.read(path))?.value;
  }

  const guestProcess = (): Promise<string> => machine.exec(`pgrep -f 'guest=idle'`);

  test('nothing of it runs before it was enabled, and the files of the installation are what systemd expects', async () => {
    expect(await machine.exec('systemctl is-active pvcd pvc-api pvc.target || true')).toBe('inactive\ninactive\ninactive');
    expect(await show('pvcd', 'LoadState', 'Type', 'TimeoutStopUSec')).toEqual({ LoadState: 'loaded', Type: 'notify', TimeoutStopUSec: '2min' });
  });

  test('the daemon is starting until it is at work', async () => {
    const [server] = ensemble.servers;
    server?.pause();
    await machine.exec('systemctl enable libvirtd pvcd.service pvc.target && systemctl start --no-block libvirtd pvc.target');
    await machine.exec(`for i in $(seq 200); do [ -e /run/pvc/pvcd.pid ] && exit 0; sleep 1; done; exit 1`, LIMIT_MS);
    expect(await show('pvcd', 'ActiveState', 'SubState')).toEqual({ ActiveState: 'activating', SubState: 'start' });
    server?.resume();
    await becomes('pvcd', 'active');
    expect(await show('pvcd', 'StatusText', 'NRestarts')).toEqual({ StatusText: 'node hv1', NRestarts: '0' });
    expect(await show('pvc.target', 'ActiveState')).toEqual({ ActiveState: 'active' });
    await until(() => store.state === 'connected', LIMIT_MS, 'this test to be connected again');
    expect(await document('/status/node/hv1')).toMatchObject({ daemonState: 'run' });
  });

  test('the primary starts the API, which serves at the floating address as a user of its own', async () => {
    await becomes('pvc-api', 'active');
    expect((await call('GET', '')).status).toBe(209);
    expect(await call('GET', '/node/hv1')).toMatchObject({ status: 200, body: { name: 'hv1', daemon_state: 'run', domain_state: 'ready' } });
    expect(await machine.exec('stat -c %U /proc/$(systemctl show -p MainPID --value pvc-api)')).toBe('pvc-api');
    expect(await machine.exec('systemctl is-enabled pvc-api || true'), 'the boot must not start it').toBe('static');
  });

  test('a hardened daemon runs a guest through libvirt and keeps its console', async () => {
    expect(await call('POST', '/vm', { xml: GUEST, node: 'hv1' })).toMatchObject({ status: 200 });
    expect(await call('POST', '/vm/idle/state', { state: 'start' })).toMatchObject({ status: 200 });
    await journalHas('"phase":"running"');
    expect(await call('GET', '/vm/idle')).toMatchObject({ status: 200, body: { state: 'start', node: 'hv1' } });
    expect(await call('GET', '/vm/idle/console')).toMatchObject({ status: 200, body: { name: 'idle' } });
    expect(await machine.exec('ls /var/log/libvirt/pvc')).toContain(GUEST_UUID);
    expect(await machine.exec(`cat /proc/$(pgrep -f guest=idle)/cgroup`)).not.toContain('pvcd.service');
  });

  test('systemctl reload takes the log level over', async () => {
    await machine.exec(`sed -i '1i log_level: debug' /etc/pvc/pvcd.yaml && systemctl reload pvcd`);
    await journalHas('"msg":"log level reloaded"');
  });

  test('stopping the target ends the daemon first and the API by its hand, and no guest', async () => {
    const guest = await guestProcess();
    const startedMs = systemClock.monotonicMs();
    await machine.exec('systemctl stop pvc.target pvcd', LIMIT_MS);
    expect(systemClock.monotonicMs() - startedMs, 'TimeoutStopSec').toBeLessThan(120_000);
    expect(await machine.exec('systemctl is-active pvcd pvc-api pvc.target || true')).toBe('inactive\ninactive\ninactive');
    expect(await show('pvcd', 'Result', 'ExecMainCode', 'ExecMainStatus')).toEqual({ Result: 'success', ExecMainCode: '1', ExecMainStatus: '0' });
    expect(await show('pvc-api', 'Result')).toEqual({ Result: 'success' });
    const said = await journal();
    const order = ['was told to end', 'drain-api', 'Stopping pvc-api', 'release-lease', 'the daemon has ended', 'Stopped pvcd'];
    expect(order.map((text) => said.indexOf(text)), said).toEqual(order.map((text) => said.indexOf(text)).sort((a, b) => a - b));
    expect(order.filter((text) => !said.includes(text))).toEqual([]);
    expect(await document('/status/node/hv1')).toMatchObject({ daemonState: 'stop', coordinatorState: 'secondary' });
    expect([await document('/lease/primary'), await document('/presence/hv1')]).toEqual([undefined, undefined]);
    expect(await machine.exec('ip -o addr show dev eth0')).not.toContain(FLOATING);
    expect(await guestProcess()).toBe(guest);
  });

  test('a daemon that answers nobody is killed by the watchdog and started again', async () => {
    const guest = await guestProcess();
    await machine.exec('systemctl start pvc.target', LIMIT_MS);
    const before = await show('pvcd', 'MainPID', 'NRestarts');
    await machine.exec(`kill -STOP ${before['MainPID']}`);
    await journalHas('pvcd.service: Watchdog timeout');
    await journalHas('Scheduled restart job');
    await becomes('pvcd', 'active');
    const after = await show('pvcd', 'MainPID', 'NRestarts');
    expect(after['NRestarts']).toBe(String(Number(before['NRestarts']) + 1));
    expect(after['MainPID']).not.toBe(before['MainPID']);
    expect(await document('/status/node/hv1')).toMatchObject({ daemonState: 'run' });
    expect(await guestProcess()).toBe(guest);
  });

  test('a reboot releases the node, also while the API is starting', async () => {
    await machine.exec('systemctl reboot');
    await machine.ended();
    expect(await document('/status/node/hv1')).toMatchObject({ daemonState: 'stop', coordinatorState: 'secondary' });
    expect([await document('/lease/primary'), await document('/presence/hv1')]).toEqual([undefined, undefined]);
    const said = await machine.console();
    expect(said).toContain('Reached target reboot.target');
    expect(said).not.toMatch(/(timed out|FAILED).*(pvc|Parallel)/u);
  });
});
