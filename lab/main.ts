/** The lab's command line; `npm run lab -- COMMAND`. */
import { rm } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { AppError, describeError, isAppError } from '../common/errors.ts';
import { apiUrl } from './api-client.ts';
import { labApp } from './app.ts';
import { guestCeph } from './ceph-config.ts';
import { cephHealth } from './ceph.ts';
import { down, labStatus, requireState, up, type UpOptions } from './cluster.ts';
import { demo } from './demo.ts';
import { cachedImage } from './guest-image.ts';
import { guestXml } from './guest.ts';
import { execInteractive, powerOff, powerOn } from './host.ts';
import { showLogs } from './logs.ts';
import { cut, heal } from './network.ts';
import { findHost, HOSTS_MAX, labPlace, withLock, type LabHost, type LabState } from './state.ts';

const place = labPlace(process.env);
const interrupted = new AbortController();

function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < minimum || value > maximum) throw new InvalidArgumentError(`must be a whole number from ${minimum} to ${maximum}`);
    return value;
  };
}

function collect<T>(parse: (text: string) => T): (text: string, before: T[]) => T[] {
  return (text, before) => [...before, parse(text)];
}

function diskName(text: string): string {
  if (!/^[A-Za-z0-9._-]+\/[A-Za-z0-9._-]+$/u.test(text)) throw new InvalidArgumentError('must be POOL/VOLUME');
  return text;
}

function guestName(text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u.test(text)) throw new InvalidArgumentError('must be letters, digits, dots, dashes and underscores');
  return text;
}

async function theHost(name: string): Promise<{ state: LabState; host: LabHost }> {
  const state = await requireState(place);
  return { state, host: findHost(place, state, name) };
}

function upOptions(command: Command): Command {
  return command
    .option('--nodes <n>', `hypervisors, 1 to ${HOSTS_MAX}; 1, 3 or 5 of them coordinators (default: 3)`, integer(1, HOSTS_MAX))
    .addOption(new Option('--accel <kind>', 'how guests are run (default: tcg, which works everywhere)').choices(['tcg', 'kvm']))
    .option('--port <port>', 'TCP port of the API on 127.0.0.1 (default: 7370)', integer(1, 65_535))
    .option('--bare', "without the project's daemons: ZooKeeper, libvirt, sshd and Ceph only")
    .option('--no-storage', 'without Ceph');
}

interface UpArguments {
  nodes?: number;
  accel?: 'tcg' | 'kvm';
  port?: number;
  bare?: true;
  /** False or absent, as commander has options that begin with `no`: its default is true. */
  storage: boolean;
}

const toUp = (given: UpArguments): UpOptions => ({ nodes: given.nodes, accel: given.accel, apiPort: given.port, bare: given.bare, storage: given.storage ? undefined : false });

async function commandUp(given: UpArguments): Promise<void> {
  const state = await up(place, toUp(given), (text) => console.log(text), interrupted.signal);
  console.log(`\nAPI    ${apiUrl(state)}\ntoken  ${state.token}\n\nnext: npm run lab -- demo | status | env | down`);
}

/** For tests: up, one line of JSON, and down as soon as standard input ends, which it does when the caller dies. */
async function commandHold(given: UpArguments): Promise<void> {
  const ended = new Promise<void>((resolve) => process.stdin.once('end', resolve).once('close', resolve).resume());
  void ended.then(() => interrupted.abort());
  try {
    const state = await up(place, toUp(given), (text) => console.error(text), interrupted.signal);
    console.log(JSON.stringify({ nodes: state.nodes, apiPort: state.apiPort, token: state.token }));
    await ended;
  } catch (error) {
    if (!isAppError(error, 'cancelled')) throw error;
  } finally {
    await down(place, { keepData: false }, new AbortController().signal);
    await rm(place.directory, { recursive: true, force: true });
  }
}

async function commandStatus(): Promise<void> {
  const state = await requireState(place);
  const status = await labStatus(place, state);
  console.log(`API  ${apiUrl(state)}  ${status.apiOpen ? 'open' : 'closed'}`);
  if (state.storage) console.log(`Ceph ${await cephHealth(place, state)}`);
  for (const host of status.hosts) {
    const services = host.services.map((service) => `${service.name} ${service.phase}${service.phase === 'active' && !service.ready ? ' (not ready)' : ''}`);
    console.log(`${host.name}  ${host.power}${host.link === 'cut' ? ', cut off' : ''}  ${services.join(', ')}`);
  }
}

async function commandEnv(): Promise<void> {
  const state = await requireState(place);
  console.log(`PVC_API_URL=${apiUrl(state)}\nPVC_API_TOKEN=${state.token}`);
}

async function commandGuestXml(name: string, options: { memory: number; network: number[]; disk: string[] }): Promise<void> {
  const state = await requireState(place);
  if (options.disk.length > 0 && !state.storage) throw new AppError('state', 'this lab has no Ceph');
  const guest = { name, memoryMib: options.memory, accel: state.accel, networks: options.network, disks: options.disk, ceph: guestCeph(place, state) };
  process.stdout.write(guestXml(cachedImage(place.cache), guest));
}

async function commandPower(name: string, state: string): Promise<void> {
  const { host } = await theHost(name);
  await withLock(place, interrupted.signal, async () => {
    if (state !== 'on') await powerOff(place, host);
    if (state !== 'off') await powerOn(place, host, labApp(place), interrupted.signal);
  });
}

function program(): Command {
  const lab = new Command('npm run lab --').description('a whole cluster on this machine, with real components').enablePositionalOptions();
  upOptions(lab.command('up', { isDefault: true })).description('start the cluster, or find it running').action(commandUp);
  upOptions(lab.command('hold', { hidden: true })).action(commandHold);
  lab
    .command('down')
    .description('take everything down, also after a crash')
    .option('--keep', "keep the hosts' data: the next up boots from it")
    .action((options: { keep?: boolean }) => down(place, { keepData: options.keep === true }, interrupted.signal));
  lab.command('status').description('hosts and their services').action(commandStatus);
  lab.command('env').description('PVC_API_URL and PVC_API_TOKEN for a shell to read').action(commandEnv);
  lab
    .command('guest-xml')
    .description('domain definition of the small test guest')
    .argument('<name>', 'name of the VM', guestName)
    .option('--memory <mib>', 'memory', integer(64, 65_536), 128)
    .option('--network <vni>', 'a network card on this network; may be repeated', collect(integer(1, 16_777_215)), [])
    .option('--disk <pool/volume>', 'an RBD disk; may be repeated', collect(diskName), [])
    .action(commandGuestXml);
  lab
    .command('exec')
    .description('run a command inside a host: exec hv2 -- virsh list')
    .argument('<host>')
    .argument('<command...>')
    .passThroughOptions()
    .action(async (name: string, command: string[]) => {
      process.exitCode = await execInteractive((await theHost(name)).host, command[0] === '--' ? command.slice(1) : command);
    });
  lab
    .command('power')
    .description("cut a host's mains, give it back, or both")
    .argument('<host>')
    .addArgument(lab.createArgument('<state>').choices(['off', 'on', 'reset']))
    .action(commandPower);
  lab.command('cut').description("pull a host's network plug").argument('<host>').action(async (name: string) => cut(place, (await theHost(name)).host));
  lab.command('heal').description('put it back').argument('<host>').action(async (name: string) => heal(place, (await theHost(name)).host));
  lab
    .command('logs')
    .description('the last lines of a host: of pvcd and the API, or of one service')
    .argument('<host>')
    .argument('[service]')
    .option('-n, --lines <n>', 'how many', integer(1, 100_000), 100)
    .option('-f, --follow', 'go on as they grow')
    .action(async (name: string, service: string | undefined, options: { lines: number; follow?: boolean }) => {
      process.exitCode = await showLogs((await theHost(name)).host, service, { lines: options.lines, follow: options.follow === true });
    });
  lab.command('demo').description('a tour: define, start, migrate, flush').action(async () => demo(place, await requireState(place), (text) => console.log(text)));
  return lab;
}

/** Waits alone do not keep a process alive (common/clock.ts); this open channel does, until it is closed. */
const alive = new MessageChannel();
alive.port1.ref();

process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

try {
  await program().parseAsync(process.argv);
} catch (error) {
  console.error(`lab: ${describeError(error)}`);
  process.exitCode = 1;
} finally {
  alive.port1.close();
}
