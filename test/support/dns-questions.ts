import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Namespace, PrivateLan } from './private-lan.ts';
import { until } from './until.ts';

const BEGIN_LIMIT_MS = 15_000;
const ASKING_LIMIT_MS = 60_000;
/** Of as many questions one server gets all once in 128 times. */
const PORTS = 8;

/**
 * Asks for the A record of a name each 20 ms, each time from several new ports, until a file appears; writes another file at the first
 * answer. Of two servers at one address the kernel chooses by the port, so nearly always some come to each. Prints how many times it has
 * asked, and how many times no question was answered within a second.
 */
const ASKER = `
import json, os, select, socket, struct, sys, time
server, name, begun, enough = sys.argv[1:5]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
waiting, answered, asked, last, turn = {}, set(), 0, None, time.monotonic()
while last is None or (waiting and time.monotonic() < last + 1):
    if last is None and time.monotonic() >= turn:
        turn = time.monotonic() + 0.02
        asked += 1
        for _ in range(${PORTS}):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect((server, 53))
            try: s.send(struct.pack("!HHHHHH", asked & 0xffff, 0x100, 1, 0, 0, 0) + labels + b"\\0\\0\\1\\0\\1")
            except ConnectionRefusedError: pass
            waiting[s] = asked
        if os.path.exists(enough): last = time.monotonic()
    for s in select.select(list(waiting), [], [], 0.005)[0]:
        try: found = struct.unpack("!H", s.recv(2000)[6:8])[0] > 0
        except ConnectionRefusedError: found = False
        if not found: continue
        answered.add(waiting.pop(s))
        open(begun, "w").close()
print(json.dumps({"asked": asked, "lost": asked - len(answered), "questionsLost": len(waiting)}))
`;

export interface Answers {
  asked: number;
  /** Times when nobody answered. */
  lost: number;
  /** Single questions without an answer, of all times. */
  questionsLost: number;
}

/** What somebody notices who asks 50 times a second while `happens`, from the first answer on. */
export async function askWhile(at: { lan: PrivateLan; guest: Namespace; server: string; name: string }, happens: () => Promise<void>): Promise<Answers> {
  const [begun, enough] = ['asking-begun', 'asking-enough'].map((name) => join(at.lan.folder, name)) as [string, string];
  for (const file of [begun, enough]) await rm(file, { force: true });
  const asking = at.guest.run(['/usr/bin/python3', '-c', ASKER, at.server, at.name, begun, enough], { timeoutMs: ASKING_LIMIT_MS });
  try {
    await until(() => existsSync(begun), BEGIN_LIMIT_MS, 'the first answer');
    await happens();
  } finally {
    await at.lan.file('asking-enough', '');
  }
  const answers = JSON.parse((await asking).stdout) as Answers;
  console.log(JSON.stringify({ name: 'DNS answers', ...answers }));
  return answers;
}

/** Process id of the one DNS server whose files are in this folder. */
export async function dnsPidIn(directory: string): Promise<number> {
  const [name, ...others] = (await readdir(directory)).filter((one) => one.endsWith('.pid'));
  if (name === undefined || others.length > 0) throw new Error(`${others.length + 1} servers or none: ${String(name)} ${others.join()}`);
  return Number(await readFile(join(directory, name), 'utf8'));
}
