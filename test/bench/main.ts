/** `npm run bench [-- NAME…]`: one JSON line per figure. Exit code 1 when one misses its bar, 2 for a name that is none. */
import { apiMemory } from './api-memory.ts';
import { apiRead } from './api-read.ts';
import { daemonIdle } from './daemon-idle.ts';
import { dhcp } from './dhcp.ts';
import type { Figure } from './figure.ts';
import { flush } from './flush.ts';
import { images } from './images.ts';
import { runLabBenches } from './lab-scene.ts';
import { mirrorLoad } from './mirror-load.ts';
import { networkAcl } from './network-acl.ts';
import { networkLinks } from './network-links.ts';
import { networkPackets } from './network-packets.ts';
import { networkTakeover } from './network-takeover.ts';
import { postState } from './post-state.ts';
import { pvcStart } from './pvc-start.ts';
import { rados } from './rados.ts';
import { runSceneBenches } from './scene.ts';
import { storage } from './storage.ts';
import { vmStart } from './vm-start.ts';

const SCENE_BENCHES = [apiRead, mirrorLoad, postState, apiMemory];
const LAB_BENCHES = [pvcStart, vmStart, flush, daemonIdle, networkAcl];
const LONE_BENCHES = [networkLinks, networkPackets, networkTakeover, dhcp, rados, storage, images];

const EXIT_MISSED = 1;
const EXIT_USAGE = 2;

function report(figures: readonly Figure[]): void {
  for (const one of figures) {
    console.log(JSON.stringify(one));
    if (!one.ok) process.exitCode = EXIT_MISSED;
  }
}

async function main(wanted: readonly string[]): Promise<void> {
  const names = [...SCENE_BENCHES, ...LAB_BENCHES, ...LONE_BENCHES].map((bench) => bench.name);
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    console.error(`no such bench: ${unknown.join(', ')}; there are ${names.join(', ')}`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const chosen = (bench: { name: string }): boolean => wanted.length === 0 || wanted.includes(bench.name);
  await runSceneBenches(SCENE_BENCHES.filter(chosen), report);
  await runLabBenches(LAB_BENCHES.filter(chosen), report);
  for (const bench of LONE_BENCHES.filter(chosen)) report(await bench.measure());
}

/** Waits alone do not keep a process alive (common/clock.ts); this open channel does, until it is closed. */
const alive = new MessageChannel();
alive.port1.ref();
try {
  await main(process.argv.slice(2));
} finally {
  alive.port1.close();
}
