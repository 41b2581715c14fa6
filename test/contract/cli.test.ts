import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aVmId } from '../support/builders.ts';
import { bundledPvc, type PvcCommand, type Result } from '../support/pvc-command.ts';
import { aZooKeeper, domainXml, putNode, putVm, putVmStatus, startApi, TOKEN, type TestApi } from './api-support.ts';

let api: TestApi;
let pvc: PvcCommand;

beforeAll(async () => {
  api = await startApi({ zookeeper: aZooKeeper() });
  pvc = bundledPvc({ PVC_API_URL: api.base, PVC_API_TOKEN: TOKEN });
  await putNode(api, 'hv1');
  await putNode(api, 'hv2', { alive: false });
  await putVm(api, { uuid: aVmId(1), name: 'web1', power: { action: 'start', generation: 1 } });
  await putVmStatus(api, aVmId(1), { powerGeneration: 1 });
  await putVm(api, { uuid: aVmId(2), name: 'db2' });
  await putVm(api, { uuid: aVmId(3), name: 'db10' });
  await putVm(api, { uuid: aVmId(5), name: 'plain', xml: domainXml('plain', { uuid: aVmId(5), devices: '' }) });
});

afterAll(async () => {
  pvc.stop();
  await api.stop();
});

const run = (line: string, options?: Parameters<PvcCommand['run']>[1]): Promise<Result> => pvc.run(line.split(' '), options);
const lines = (text: string): string[] => text.trimEnd().split('\n');

describe('in a pipe', () => {
  test('a list is a table without colours', async () => {
    const { code, stdout, stderr } = await run('vm list --columns name,state,node,memory');
    expect([code, stderr]).toEqual([0, '']);
    expect(lines(stdout).map((line) => line.split(/ {2,}/u))).toEqual([['NAME', 'STATE', 'NODE', 'MEMORY'], ['db10', 'stop', 'hv1', '512 MiB'], ['db2', 'stop', 'hv1', '512 MiB'], ['plain', 'stop', 'hv1', '512 MiB'], ['web1', 'start', 'hv1', '512 MiB']]);
    expect(stdout).not.toContain('\u001b');
  });

  test('colours are forced by FORCE_COLOR', async () => {
    expect((await run('vm list', { env: { FORCE_COLOR: '1' } })).stdout).toContain('\u001b[32mstart\u001b[39m');
  });

  test('rows are filtered by value, by pattern and by size, and sorted as people sort', async () => {
    const names = async (line: string): Promise<string[]> => lines((await run(`vm list --columns name --format raw ${line}`)).stdout);
    expect(await names('--filter state=stop --filter name~^db --sort name')).toEqual(['db2', 'db10']);
    expect(await names('--sort -name')).toEqual(['web1', 'plain', 'db10', 'db2']);
    expect(await names('--filter name~^db --filter name!=db2')).toEqual(['db10']);
    expect(await names('--filter memory>511 ^web')).toEqual(['web1']);
  });

  test('json and yaml are the documents of the API, or the columns that are asked for', async () => {
    const all = JSON.parse((await run('vm list --format json')).stdout) as { name: string; uuid: string }[];
    expect(all.map(({ name, uuid }) => [name, uuid])).toContainEqual(['web1', aVmId(1)]);
    expect(JSON.parse((await run('vm info web1 --format json --columns name,memory')).stdout)).toEqual({ name: 'web1', memory: 512 });
    expect((await run('vm state web1 --format yaml')).stdout).toBe('name: web1\nstate: start\n');
    expect(JSON.parse((await run('vm meta web1 --profile x --format json')).stdout)).toMatchObject({ profile: 'x' });
  });

  test('the cluster is told on one screen, with what is wrong', async () => {
    const { stdout } = await run('cluster status');
    expect(lines(stdout).length).toBeLessThanOrEqual(24);
    expect(stdout).toMatch(/^health +Degraded/mu);
    expect(stdout).toContain('node hv2 is dead');
  });

  test('a definition on standard input is waited for', async () => {
    writeFileSync(join(pvc.folder, 'late.xml'), domainXml('late', { devices: '' }));
    expect(await pvc.bash('(sleep 1; cat late.xml) | pvc vm define -')).toEqual({ code: 0, stdout: expect.stringMatching(/^VM late is defined/u), stderr: '' });
    await run('vm remove late --yes');
  });

  test('a reader that ends early is no fault', async () => {
    expect(await pvc.bash('set -o pipefail; pvc manual | head -1')).toEqual({ code: 0, stdout: expect.stringMatching(/^\.TH/u), stderr: '' });
  });
});

describe('exit codes, and one line that says what to do', () => {
  test.each([
    { line: 'vm info nobody', code: 1, says: /^pvc: no VM .*pvc vm list has the names\n$/u },
    { line: 'vm start nobody', code: 1, says: /^pvc: no VM .*\n$/u },
    { line: 'vm lst', code: 2, says: /^pvc: unknown command 'lst' \(Did you mean list\?\) - see pvc vm --help\n$/u },
    { line: 'vm list --columns nme', code: 2, says: /^pvc: there is no column nme .*columns: name.*\n$/u },
    { line: 'vm list --filter name', code: 2, says: /^pvc: name is no filter.*\n$/u },
    { line: 'vm console web1 --lines 0', code: 2, says: /^pvc: .*whole number from 1 to 5000.*\n$/u },
    { line: 'vm stop web1', code: 2, says: /^pvc: VM web1 \(start\) loses .*say --yes.*\n$/u },
    { line: 'vm remove db2', code: 2, says: /^pvc: VM db2 .*definition is lost.*say --yes.*\n$/u },
  ])('$line: $code', async ({ line, code, says }) => {
    const ran = await run(line);
    expect([ran.code, ran.stdout]).toEqual([code, '']);
    expect(ran.stderr).toMatch(says);
  });

  test('3 where nobody answers, 4 with a wrong token, 2 without any cluster', async () => {
    const nobody = await run('vm list', { env: { PVC_API_URL: 'http://127.0.0.1:1' } });
    expect([nobody.code, nobody.stderr]).toEqual([3, expect.stringMatching(/^pvc: no answer .*is the API at http:\/\/127\.0\.0\.1:1\/api\/v1 up\?.*\n$/u)]);
    const wrong = await run('vm list', { env: { PVC_API_TOKEN: 'a wrong token' } });
    expect([wrong.code, wrong.stderr]).toEqual([4, expect.stringMatching(/^pvc: .*PVC_API_TOKEN\n$/u)]);
    const none = await run('vm list', { env: { PVC_API_URL: '' } });
    expect([none.code, none.stderr]).toEqual([2, expect.stringMatching(/^pvc: no cluster is named: pvc connection add.*\n$/u)]);
  });

  test('half a command gets its help', async () => {
    expect(await run('vm')).toMatchObject({ code: 2, stderr: expect.stringContaining('Usage: pvc vm') });
  });
});

describe('connections', () => {
  const env = { PVC_API_URL: '', PVC_API_TOKEN: '' };
  const file = (): string => join(pvc.folder, '.config/pvc/connections.json');

  test('are kept in a file that only the owner can read, and their tokens are never printed', async () => {
    const added = await run(`connection add test ${api.base} --token-file -`, { env, input: `${TOKEN}\n` });
    expect([added.code, added.stderr]).toEqual([0, '']);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(statSync(join(file(), '..')).mode & 0o777).toBe(0o700);
    const printed = await Promise.all(['connection list --columns all', 'connection list --format json', 'connection check', 'vm list'].map((line) => run(line, { env })));
    expect(printed.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect([added, ...printed].map(({ stdout, stderr }) => stdout + stderr).join('')).not.toContain(TOKEN);
  });

  test('one of them is used, another can be named, and the environment comes before the one that is used', async () => {
    await run(`connection add gone http://127.0.0.1:1 --unchecked --token-file -`, { env, input: 'x' });
    expect((await run('vm list', { env })).code).toBe(0);
    expect((await run('vm list -c gone', { env })).code).toBe(3);
    expect((await run('-c gone vm list', { env })).code).toBe(3);
    await run('connection use gone', { env });
    expect((await run('vm list', { env })).code).toBe(3);
    expect((await run('vm list')).code).toBe(0);
    expect((await run('connection remove gone', { env })).code).toBe(0);
    expect((await run('vm list -c gone', { env })).code).toBe(2);
  });

  test('a token that the cluster does not take is not kept', async () => {
    expect((await run(`connection add wrong ${api.base} --token-file -`, { env, input: 'a wrong token' })).code).toBe(4);
    expect(readFileSync(file(), 'utf8')).not.toContain('wrong');
  });

  test('a file that others can read is refused', async () => {
    chmodSync(file(), 0o640);
    const { code, stderr } = await run('vm list -c test', { env });
    chmodSync(file(), 0o600);
    expect([code, stderr]).toEqual([2, expect.stringContaining('chmod 600')]);
  });
});

describe('on a terminal', () => {
  test('colours are there, and NO_COLOR takes them away', async () => {
    const coloured = pvc.open('pvc vm list');
    expect(await coloured.ended()).toBe(0);
    expect(coloured.text).toContain('\u001b[32mstart\u001b[39m');
    const plain = pvc.open('pvc vm list', { NO_COLOR: '1' });
    expect(await plain.ended()).toBe(0);
    expect(plain.text).not.toContain('\u001b[');
  });

  test('a token is typed without being shown', async () => {
    const screen = pvc.open(`pvc connection add typed ${api.base}`, { PVC_API_URL: '' });
    await screen.see('API token');
    screen.type(`${TOKEN}\r`);
    expect(await screen.ended()).toBe(0);
    expect(screen.text).toContain('connection typed is added');
    expect(screen.text).not.toContain(TOKEN);
  });

  test('what will be lost is told before anything is done, and no is no', async () => {
    const screen = pvc.open('pvc vm delete db2');
    await screen.see('definition is lost');
    await screen.see('vms/web1_sda');
    await screen.see('Go on?');
    screen.type('n\r');
    expect(await screen.ended()).toBe(130);
    expect((await run('vm state db2')).code).toBe(0);
  });

  test('yes is yes', async () => {
    await putVm(api, { uuid: aVmId(4), name: 'old' });
    const screen = pvc.open('pvc vm remove old');
    await screen.see('Go on?');
    screen.type('y\r');
    expect(await screen.ended()).toBe(0);
    expect((await run('vm state old')).code).toBe(1);
  });

  test('a list is drawn over until Ctrl-C', async () => {
    const screen = pvc.open('pvc vm list --columns name,tags --watch 0.2');
    await screen.see('web1');
    await run('vm tag add web1 fresh');
    await screen.see('fresh');
    screen.type('\u0003');
    expect(await screen.ended()).toBe(0);
  });

  test('what is looked at again and again goes on while nobody answers', async () => {
    const screen = pvc.open('pvc vm list --watch 0.2', { PVC_API_URL: 'http://127.0.0.1:1' });
    await screen.see('pvc: no answer from the API');
    await screen.see('looking again');
    screen.type('\u0003');
    expect(await screen.ended()).toBe(0);
  });

  test('Ctrl-C asks whether to leave it running or to cancel it', async () => {
    const left = pvc.open('pvc vm start db10');
    await untilPrints(() => run('vm state db10 --columns state --format raw'), 'start\n');
    left.type('\u0003');
    await left.see('the start of VM db10 is not over');
    await left.see('leave it running');
    left.type('\u001b[B\r');
    expect(await left.ended()).toBe(0);
    expect(left.text).toContain('goes on');
    const piped = pvc.run(['vm', 'wait', 'db10', 'stop', '--wait-limit', '1']);
    expect(await piped).toMatchObject({ code: 1, stderr: expect.stringContaining('is not over after 1 s, and goes on') });
  });
});

async function untilPrints(look: () => Promise<Result>, stdout: string): Promise<void> {
  for (let tries = 0; tries < 50; tries += 1) if ((await look()).stdout === stdout) return;
  throw new Error(`nothing printed ${stdout}`);
}

describe('pvc vm edit', () => {
  const editor = (script: string): Record<string, string> => {
    const file = join(pvc.folder, 'editor.sh');
    writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return { EDITOR: file };
  };
  const definition = async (): Promise<string> => (await run('vm dump plain')).stdout;

  test('shows the difference and writes it', async () => {
    const { code, stderr } = await run('vm edit plain --yes', { env: editor("sed -i 's/front end/back end/' \"$1\"") });
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^-.*front end(.|\n)*^\+.*back end/mu)]);
    expect(await definition()).toContain('back end');
  });

  test('does nothing when nothing is changed', async () => {
    expect(await run('vm edit plain', { env: editor('true') })).toMatchObject({ code: 0, stdout: 'nothing was changed\n' });
  });

  test.each([
    { what: 'is not well-formed', script: "sed -i 's,</domain>,,' \"$1\"", says: 'not well-formed' },
    { what: 'names another VM', script: "sed -i 's,<name>plain,<name>other,' \"$1\"", says: 'pvc vm rename' },
    { what: 'is refused by the cluster', script: "sed -i 's,<memory.*</memory>,,' \"$1\"", says: 'pvc:' },
  ])('writes nothing that $what, and keeps the text', async ({ script, says }) => {
    const before = await definition();
    const { code, stderr } = await run('vm edit plain --yes', { env: editor(script) });
    expect(code).not.toBe(0);
    expect(stderr).toContain(says);
    const kept = /your text is kept in (.+)\n/u.exec(stderr)?.[1] ?? '';
    expect(kept.startsWith(tmpdir()) && existsSync(kept)).toBe(true);
    expect(await definition()).toBe(before);
  });

  test('can be mended in the editor after a fault, on a terminal', async () => {
    const script = `if [ -e "${pvc.folder}/once" ]; then sed -i 's/back end/third/' "$1"; printf '</domain>' >> "$1"; else touch "${pvc.folder}/once"; sed -i 's,</domain>,,' "$1"; fi`;
    const screen = pvc.open('pvc vm edit plain', editor(script));
    await screen.see('not well-formed');
    await screen.see('edit it again');
    screen.type('\r');
    await screen.see('third');
    await screen.see('Write this definition');
    screen.type('y\r');
    expect(await screen.ended()).toBe(0);
    expect(await definition()).toContain('third');
  });

  test('does not write over what somebody else has changed meanwhile', async () => {
    const other = join(pvc.folder, 'other.xml');
    writeFileSync(other, (await definition()).replace('third', 'fourth'));
    const { code, stderr } = await run('vm edit plain --yes', { env: editor(`pvc vm modify plain ${other}; sed -i 's/third/fifth/' "$1"`) });
    expect([code, stderr]).toEqual([1, expect.stringContaining('changed it meanwhile')]);
    expect(await definition()).toContain('fourth');
  });
});

describe('completion', () => {
  /** What bash itself makes of the line when the tabulator is pressed. */
  const completed = async (line: string): Promise<string[]> => {
    const script = `source <(pvc completion bash); COMP_WORDS=(${line.replace(/ $/u, " ''")}); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _pvc; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return lines((await pvc.bash(script, { PVC_API_URL: 'http://127.0.0.1:1' })).stdout);
  };

  test.each([
    ['pvc v', ['vm']],
    ['pvc vm st', ['state', 'start', 'stop']],
    ['pvc vm list --st', ['--state']],
    ['pvc vm list --state re', ['restart', 'restore']],
    ['pvc vm tag ', ['list', 'add', 'remove']],
    ['pvc vm list --format ', ['table', 'json', 'yaml', 'raw']],
  ])('bash completes %s without the cluster', async (line, wanted) => {
    expect(await completed(line)).toEqual(wanted);
  });

  test('names of VMs and nodes come from the cluster', async () => {
    const screen = pvc.open('bash --norc --noprofile -i');
    screen.type('source <(pvc completion bash)\r');
    screen.type('pvc vm info db1\t');
    await screen.see('pvc vm info db10');
    screen.type('\u0015pvc vm migrate web1 --node hv\t\t');
    await screen.see(/hv1\s+hv2/u);
    screen.type('\u0015exit\r');
    await screen.ended();
    expect(lines((await run('complete vm start web1 ')).stdout)).toEqual(['db2\tstop', 'db10\tstart', 'plain\tstop']);
  });

  test('zsh completes them, too, and shows what they are', async () => {
    const screen = pvc.open('zsh -f -i');
    screen.type('autoload -Uz compinit; compinit -D -u; source <(pvc completion zsh)\r');
    screen.type('pvc vm state db1\t--columns name --format raw\r');
    await screen.see(/\ndb10\r/u);
    screen.type('pvc vm migrate web1 --node hv\t');
    await screen.see(/hv1 +-- run, ready/u);
    await screen.see(/hv2 +-- dead/u);
    screen.type('\u0015exit\r');
    await screen.ended();
  });

  test('so does fish', async () => {
    const offered = async (line: string): Promise<string[]> => lines((await pvc.bash(`fish --no-config -c "pvc completion fish | source; complete --do-complete '${line}'"`)).stdout);
    expect(await offered('pvc v')).toEqual(['vm\tvirtual machines: define, start, migrate, edit, console']);
    expect(await offered('pvc vm start ')).toEqual(['db2\tstop', expect.stringMatching(/^db10\tst/u), 'plain\tstop', 'web1\tstart']);
    expect(await offered('pvc vm migrate web1 --node hv')).toEqual(['hv1\trun, ready', 'hv2\tdead, ready']);
    expect(await offered('pvc vm define /etc/host')).toContain('/etc/hosts');
  });
});

test('the manual page is shown by man', async () => {
  const { stdout: text, stderr } = await pvc.bash('pvc manual > pvc.1; man -l pvc.1', { MANWIDTH: '100' });
  expect(stderr).toBe('');
  expect(text).toMatch(/^ +pvc vm migrate <vm>$/mu);
  expect(text).toContain('EXIT STATUS');
});

test('a call that is refused leaves no file behind', () => {
  expect(readdirSync(join(pvc.folder, '.config/pvc'))).toEqual(['connections.json']);
});

test('what the API says is not obeyed by the terminal', async () => {
  await putVm(api, { uuid: aVmId(9), name: 'evil', xml: domainXml('evil', { uuid: aVmId(9), extra: '<description>a&#x9b;31mb</description>' }) });
  const screen = pvc.open('pvc vm list evil --columns name,description', { NO_COLOR: '1' });
  expect(await screen.ended()).toBe(0);
  expect(screen.text).not.toContain('\u009b');
});

