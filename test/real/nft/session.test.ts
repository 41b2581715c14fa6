import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { NftSession, type NftAnswer } from '../../../common/nft-session.ts';
import { converse, type Conversation } from '../../../common/process.ts';
import { startNetworkNamespace, type NetworkNamespace } from '../../support/network-namespace.ts';

const missing = process.getuid?.() !== 0 ? 'needs root' : ['/usr/bin/unshare', '/usr/bin/nsenter', '/usr/sbin/nft'].find((file) => !existsSync(file));
const LIMIT = { timeoutMs: 20_000 };

describe.skipIf(missing !== undefined)('an nft that stays', () => {
  let namespace: NetworkNamespace;
  let directory: string;
  let started: Conversation[] = [];
  let session: NftSession;

  beforeAll(async () => {
    namespace = await startNetworkNamespace();
    directory = await mkdtemp(join(tmpdir(), 'pvc-nft-session-'));
  });

  afterAll(async () => {
    await namespace?.stop();
    if (directory !== undefined) await rm(directory, { recursive: true });
  });

  beforeEach(async () => {
    started = [];
    session = new NftSession({
      clock: systemClock,
      command: ['nft'],
      converse: (command, options) => {
        const conversation = namespace.converse(command, options);
        started.push(conversation);
        return conversation;
      },
    });
    await told('flush ruleset', 'add table inet t', 'add chain inet t c');
  });

  afterEach(() => session.close());

  async function told(...lines: string[]): Promise<NftAnswer> {
    const file = join(directory, 'document.nft');
    await writeFile(file, `${lines.join('\n')}\n`);
    return session.ask(`include "${file}"`, LIMIT);
  }

  const rules = async (): Promise<number> => (await namespace.run(['nft', 'list', 'chain', 'inet', 't', 'c'], LIMIT)).stdout.split('accept').length - 1;

  test('carries each document out as one transaction, and says what it does not take and where', async () => {
    expect(await told('add rule inet t c tcp dport 1 accept')).toEqual({ stdout: '', stderr: '' });
    expect((await told('add rule inet t c tcp dport 2 accept', 'add rule inet t c bogus foo')).stderr).toMatch(/document\.nft:2:19-23: Error: /u);
    expect((await told('add rule inet t c tcp dport 2 accept', 'add rule inet t nowhere accept')).stderr).toMatch(/document\.nft:2:\d+-\d+: Error: .*No such file or directory/u);
    expect(await rules()).toBe(1);
    expect(await told('add rule inet t c tcp dport 3 accept')).toEqual({ stdout: '', stderr: '' });
    expect([await rules(), started.length]).toEqual([2, 1]);
  });

  test('sees what others have changed meanwhile', async () => {
    await namespace.commands('nft delete table inet t', 'nft add table inet t', 'nft add chain inet t other');
    expect((await told('add rule inet t c accept')).stderr).toContain('Error:');
    expect(await told('add rule inet t other accept')).toEqual({ stdout: '', stderr: '' });
  });

  test('gives the whole of a long answer, and of each question its own', async () => {
    await told(...Array.from({ length: 5_000 }, (_, at) => `add rule inet t c tcp dport ${at + 1} accept`));
    const list = 'list chain inet t c';
    const answers = await Promise.all([session.ask(list, LIMIT), session.ask('add rule inet t c bogus', LIMIT), session.ask(list, LIMIT)]);
    expect(answers.map(({ stdout, stderr }) => [stdout.split('accept').length - 1, stderr.includes('Error:')])).toEqual([[5_000, false], [0, true], [5_000, false]]);
  });

  test('an nft that ends is told, and the next question has another', async () => {
    started[0]?.end();
    await started[0]?.ended;
    expect(await told('add rule inet t c accept')).toEqual({ stdout: '', stderr: '' });
    const long = join(directory, 'long.nft');
    await writeFile(long, 'add rule inet t c accept\n'.repeat(5_000));
    const lost = session.ask(`include "${long}"`, LIMIT);
    setImmediate(() => started[1]?.end());
    await expect(lost).rejects.toMatchObject({ code: 'cancelled' });
    expect(await told('flush chain inet t c')).toEqual({ stdout: '', stderr: '' });
    expect(started.length).toBe(3);
  });

  test('begins anew after a thousand questions, because it remembers them all', async () => {
    for (let count = 0; count < 1_000; count += 1) await told('flush chain inet t c');
    expect(started.length).toBe(2);
  });
});

describe('a program that is no nft', () => {
  const sessionOf = (...command: [string, ...string[]]): NftSession => new NftSession({ clock: systemClock, converse, command });

  test('and ends at once is told', async () => {
    await expect(sessionOf('false').ask('list tables', LIMIT)).rejects.toMatchObject({ code: 'component' });
    await expect(sessionOf('/nowhere/nft').ask('list tables', LIMIT)).rejects.toMatchObject({ code: 'component' });
  });

  test('and says nothing is ended at the time limit', async () => {
    await expect(sessionOf('sh', '-c', 'exec sleep 1000', 'sh').ask('list tables', { timeoutMs: 200 })).rejects.toMatchObject({ code: 'timeout' });
    await expect(sessionOf('sh', '-c', 'exec sleep 1000', 'sh').ask('list tables', { timeoutMs: 20_000, signal: AbortSignal.timeout(200) })).rejects.toMatchObject({ code: 'cancelled' });
  });
});
