// @ts-check
/**
 * `node lab/bootstrap.mjs lab|test|bench ARGS…`: from a bare Debian machine with Node to the program. Installs the Debian packages and npm
 * packages that are missing, builds, and hands over. Plain JavaScript without dependencies, since it runs before there are any.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, copyFileSync, existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTests } from './run-tests.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const NODE_MINIMUM = [20, 19];

/**
 * Debian packages, each with a file that shows it is there. Of ZooKeeper only the jar, of libvirt and the others only the programs: the
 * services that come along are neither started nor enabled.
 * @type {readonly (readonly [string, string])[]}
 */
const RUN_PACKAGES = [
  ['zookeeper', '/usr/share/java/zookeeper.jar'],
  ['libslf4j-java', '/usr/share/java/slf4j-simple.jar'],
  ['default-jre-headless', '/usr/bin/java'],
  ['libvirt-daemon-system', '/usr/share/doc/libvirt-daemon-system/copyright'],
  ['libvirt-daemon', '/usr/sbin/libvirtd'],
  ['libvirt-daemon', '/usr/sbin/virtlogd'],
  ['libvirt-daemon-driver-qemu', '/usr/share/doc/libvirt-daemon-driver-qemu/copyright'],
  ['libvirt-clients', '/usr/bin/virsh'],
  ['qemu-system-x86', '/usr/bin/qemu-system-x86_64'],
  ['qemu-utils', '/usr/bin/qemu-img'],
  ['qemu-block-extra', '/usr/share/doc/qemu-block-extra/copyright'],
  ['nftables', '/usr/sbin/nft'],
  ['dnsmasq-base', '/usr/sbin/dnsmasq'],
  ['unbound', '/usr/sbin/unbound'],
  ['isc-dhcp-client', '/usr/sbin/dhclient'],
  ['ceph-mon', '/usr/bin/ceph-mon'],
  ['ceph-mgr', '/usr/bin/ceph-mgr'],
  ['ceph-osd', '/usr/bin/ceph-osd'],
  ['ceph-common', '/usr/bin/rbd'],
  ['librados2', '/usr/lib/x86_64-linux-gnu/librados.so.2'],
  ['librbd1', '/usr/lib/x86_64-linux-gnu/librbd.so.1'],
  ['python3-rados', '/usr/share/doc/python3-rados/copyright'],
  ['openssh-server', '/usr/sbin/sshd'],
  ['openssh-client', '/usr/bin/ssh-keygen'],
  ['busybox-static', '/bin/busybox'],
  ['cpio', '/usr/bin/cpio'],
  ['binutils', '/usr/bin/strip'],
  ['iproute2', '/usr/bin/ip'],
  ['kmod', '/usr/sbin/modinfo'],
  ['iputils-ping', '/usr/bin/ping'],
  ['iputils-arping', '/usr/bin/arping'],
  ['procps', '/usr/bin/pgrep'],
  ['iperf3', '/usr/bin/iperf3'],
  ['systemd', '/usr/bin/systemd-analyze'],
  ['xz-utils', '/usr/bin/xz'],
  ['zstd', '/usr/bin/zstd'],
  ['man-db', '/usr/bin/man'],
  ['zsh', '/usr/bin/zsh'],
  ['fish', '/usr/bin/fish'],
];

/** What Debian 13 has in a package of its own and Debian 12 in ceph-osd: installed after the others, where it is still missing. @type {readonly (readonly [string, string])[]} */
const SPLIT_PACKAGES = [['ceph-volume', '/usr/sbin/ceph-volume']];

/** For npm packages with native parts. @type {readonly (readonly [string, string])[]} */
const BUILD_PACKAGES = [
  ['g++', '/usr/bin/g++'],
  ['make', '/usr/bin/make'],
  ['python3', '/usr/bin/python3'],
];

/** Ends with one line that says what to do. @param {string} text @returns {never} */
function giveUp(text) {
  console.error(text);
  process.exit(1);
}

/** @param {string} text */
const say = (text) => console.error(`-- ${text}`);

/**
 * Runs a command on this terminal.
 * @param {string} program @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env]
 * @returns {number} its exit code
 */
function run(program, args, env = {}) {
  const result = spawnSync(program, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } });
  if (result.error !== undefined) giveUp(`${program} cannot be run: ${result.error.message}`);
  return result.status ?? 1;
}

function checkMachine() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = NODE_MINIMUM;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    giveUp(`Node ${process.versions.node} is too old: install Node ${NODE_MINIMUM.join('.')} or newer and run this again.`);
  }
  if (process.platform !== 'linux') giveUp('This needs Linux: run it on a Debian 12 or 13 machine.');
  if (process.getuid?.() !== 0) giveUp('This needs root for network namespaces and libvirt: run it as root (sudo -E npm run lab).');
}

/** @param {string} name whether this program is in a folder of PATH or of the system */
function hasProgram(name) {
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`.split(':');
  return folders.some((folder) => folder !== '' && existsSync(path.join(folder, name)));
}

/** Names of packages whose file is not there. @param {readonly (readonly [string, string])[]} packages */
function missingPackages(packages) {
  return [...new Set(packages.filter(([, file]) => !existsSync(file)).map(([name]) => name))];
}

/** @param {readonly string[]} names */
function installDebianPackages(names) {
  if (names.length === 0) return;
  if (!hasProgram('apt-get')) giveUp(`This machine has no apt: install by hand what is missing (${names.join(', ')}).`);
  say(`installing Debian packages: ${names.join(' ')} (no service is started)`);
  const unitsBefore = new Set(enabledUnits());
  const install = ['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...names];
  const env = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' };
  const status = withoutServices(() => {
    if (!knowsPackages(names) && run('apt-get', ['-q', 'update'], env) !== 0) return 1;
    if (run('apt-get', ['-q', ...install], env) === 0) return 0;
    say('trying again with fresh package lists');
    return run('apt-get', ['-q', 'update'], env) || run('apt-get', ['-q', ...install], env);
  });
  disableUnits(enabledUnits().filter((unit) => !unitsBefore.has(unit)));
  if (status !== 0) giveUp(`apt-get could not install what is missing: see above, then try: apt-get install ${names.join(' ')}`);
}

/** Whether apt's lists have all these packages. @param {readonly string[]} names */
function knowsPackages(names) {
  return spawnSync('apt-cache', ['show', '--no-all-versions', ...names], { stdio: 'ignore' }).status === 0;
}

const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_KEPT = `${POLICY}.kept-by-pvc-lab`;
const POLICY_TEXT = '#!/bin/sh\n# by the lab of pvc, for the time of an installation\nexit 101\n';

/**
 * Runs `work` while no package may start a service: policy-rc.d says 101, "forbidden by policy". The machine's own is put back afterwards.
 * @param {() => number} work
 */
function withoutServices(work) {
  const restore = () => {
    rmSync(POLICY, { force: true });
    if (existsSync(POLICY_KEPT)) renameSync(POLICY_KEPT, POLICY);
  };
  const interrupted = () => {
    restore();
    process.exit(130);
  };
  // Ours is there only when a run was killed.
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8') !== POLICY_TEXT) renameSync(POLICY, POLICY_KEPT);
  writeFileSync(POLICY, POLICY_TEXT);
  chmodSync(POLICY, 0o755);
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  try {
    return work();
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    restore();
  }
}

/** Units that systemd starts at boot, by the links that say so. */
function enabledUnits() {
  const base = '/etc/systemd/system';
  if (!existsSync(base)) return [];
  const wants = readdirSync(base).filter((entry) => /\.(wants|requires)$/u.test(entry));
  return wants.flatMap((folder) => readdirSync(path.join(base, folder)).map((unit) => path.join(base, folder, unit)));
}

/** Takes back what the installed packages enabled, so that they do not start with the next boot either. @param {readonly string[]} links */
function disableUnits(links) {
  for (const link of links) if (lstatSync(link).isSymbolicLink()) rmSync(link);
  if (links.length > 0) say(`not enabled at boot: ${[...new Set(links.map((link) => path.basename(link)))].join(' ')}`);
}

/** @param {string} file @returns {any} */
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Whether node_modules is what package-lock.json asks for, and was compiled for this Node. */
function npmPackagesAreCurrent() {
  const installedFile = path.join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = readJson(path.join(ROOT, 'package-lock.json')).packages;
  const installed = readJson(installedFile).packages;
  return Object.entries(wanted).every(([name, entry]) => name === '' || installed[name]?.version === entry.version || entry.optional === true);
}

/** What the ZooKeeper client is compiled with, and where it is written down which text that was. */
const CLIENT_HEADER = path.join(ROOT, 'common/store/zookeeper-build.h');
const CLIENT_COMPILED_WITH = path.join(ROOT, 'node_modules/zookeeper/.compiled-with.h');

/** Whether the native parts load, and the ZooKeeper client was compiled with our header: one that was not works, but never reconnects once a child has its sockets. */
function nativePartsAreRight() {
  if (!existsSync(CLIENT_COMPILED_WITH) || readFileSync(CLIENT_COMPILED_WITH, 'utf8') !== readFileSync(CLIENT_HEADER, 'utf8')) return false;
  const script = "Promise.all([import('zookeeper'), import('koffi')]).then(() => process.exit(0), () => process.exit(1))";
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT, stdio: 'ignore' }).status === 0;
}

/** Where node-gyp finds Node's headers without downloading them. @returns {NodeJS.ProcessEnv} */
function headersEnv() {
  if (process.env['npm_config_nodedir'] !== undefined) return {};
  for (const prefix of [path.dirname(path.dirname(process.execPath)), '/usr', '/usr/local']) {
    const version = path.join(prefix, 'include/node/node_version.h');
    if (existsSync(version) && readFileSync(version, 'utf8').includes(`NODE_MAJOR_VERSION ${process.versions.node.split('.')[0]}`)) {
      return { npm_config_nodedir: prefix };
    }
  }
  return {};
}

/** The native part of the package zookeeper asks for no optimisation and lets child processes have its sockets: common/store/zookeeper-build.h. @returns {NodeJS.ProcessEnv} */
function compilerEnv() {
  // Make and configure split it at spaces; and a path with one is refused.
  if (/\s/u.test(CLIENT_HEADER)) giveUp('the path of this checkout has a space in it: the ZooKeeper client cannot be compiled there. Move it and run this again.');
  return { CPPFLAGS: `${process.env['CPPFLAGS'] ?? ''} -O2 -include ${CLIENT_HEADER}` };
}

function installNpmPackages() {
  const current = npmPackagesAreCurrent();
  if (current && nativePartsAreRight()) return;
  installDebianPackages(missingPackages(BUILD_PACKAGES));
  if (!hasProgram('npm')) giveUp('npm is missing: install it beside Node and run this again.');
  // The package compiles nothing while it finds something compiled.
  if (current) rmSync(path.join(ROOT, 'node_modules/zookeeper/build'), { recursive: true, force: true });
  const args = current ? ['rebuild', 'zookeeper'] : ['ci', '--no-audit', '--no-fund'];
  say(`npm ${args.join(' ')}`);
  if (run('npm', args, { ...headersEnv(), ...compilerEnv() }) !== 0) giveUp('npm could not install the packages: see above, and check the connection to the package registry.');
  copyFileSync(CLIENT_HEADER, CLIENT_COMPILED_WITH);
  if (!nativePartsAreRight()) giveUp("The native part of the package zookeeper was not built: see npm's messages above (Node's headers are needed).");
}

function build() {
  say('building');
  if (run('npm', ['run', '--silent', 'build']) !== 0) giveUp('The build failed: see above.');
}

async function main() {
  const [what = '', ...given] = process.argv.slice(2);
  const args = given[0] === '--' ? given.slice(1) : given;
  if (!['lab', 'test', 'bench'].includes(what)) giveUp('usage: node lab/bootstrap.mjs lab|test|bench ARGS…');
  checkMachine();
  // Looking at a lab that is there must not take a build.
  const ready = what === 'lab' && args.length > 0 && !['up', 'hold'].includes(args[0] ?? '') && !(args[0] ?? '').startsWith('--') && isBuilt();
  if (!ready) {
    installDebianPackages(missingPackages(RUN_PACKAGES));
    installDebianPackages(missingPackages(SPLIT_PACKAGES));
    installNpmPackages();
  }
  if (what === 'test') process.exit(await runTests(ROOT, args));
  if (!ready) build();
  const script = what === 'lab' ? 'dist/lab/main.js' : 'dist/test/bench/main.js';
  process.exit(run(process.execPath, ['--enable-source-maps', path.join(ROOT, script), ...args]));
}

function isBuilt() {
  try {
    accessSync(path.join(ROOT, 'dist/lab/main.js'), constants.R_OK);
    return existsSync(path.join(ROOT, 'node_modules/commander'));
  } catch {
    return false;
  }
}

await main();
