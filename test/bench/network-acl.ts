import { systemClock } from '../../common/clock.ts';
import { follow } from '../../common/process.ts';
import { hostNamespace, labHosts } from '../../lab/state.ts';
import { until } from '../support/until.ts';
import { figure, median } from './figure.ts';
import type { LabBench, LabScene } from './lab-scene.ts';

const ONE_BAR_MS = 60;
const THOUSAND_BAR_MS = 150;
const SAMPLES = 20;
const MANY = 1_000;
const VNI = 4_001;
const LIMIT_MS = 60_000;

/** From the POST of a rule until nft's monitor has told of it on each of the three hosts. */
export const networkAcl: LabBench = {
  name: 'network-acl',
  async measure(scene) {
    await scene.post('/network', { vni: String(VNI), description: 'bench', nettype: 'managed', ip4_network: '10.41.0.0/24', ip4_gateway: '10.41.0.1' });
    const kernels = new Kernels(scene);
    try {
      await until(() => kernels.areListening(scene), LIMIT_MS, 'the monitors');
      const one = await sample(scene, kernels, 10_000);
      await fill(scene, kernels);
      const thousand = await sample(scene, kernels, 20_000);
      return [figure('acl-to-kernels', one, 'ms', ONE_BAR_MS), figure('acl-to-kernels-1000', thousand, 'ms', THOUSAND_BAR_MS)];
    } finally {
      await kernels.stop();
      await scene.lab.call('DELETE', `/api/v1/network/${VNI}`);
    }
  },
};

async function sample(scene: LabScene, kernels: Kernels, firstPort: number): Promise<number> {
  const times: number[] = [];
  for (let number = 0; number <= SAMPLES; number += 1) {
    const port = firstPort + number;
    const postedMs = systemClock.monotonicMs();
    await add(scene, port);
    times.push((await kernels.everywhere(port)) - postedMs);
  }
  // The first warms everything up.
  return median(times.slice(1));
}

async function fill(scene: LabScene, kernels: Kernels): Promise<void> {
  for (let number = 0; number < MANY; number += 1) await add(scene, 30_000 + number);
  await kernels.everywhere(30_000 + MANY - 1);
}

async function add(scene: LabScene, port: number): Promise<void> {
  await scene.post(`/network/${VNI}/acl`, { description: `port-${port}`, direction: 'in', rule: `tcp dport ${port} ct state new accept` });
}

/** What the kernels of the lab's hosts were told, by nft's monitor in each. */
class Kernels {
  readonly #ending = new AbortController();
  readonly #monitors: Promise<void>[];
  readonly #seen = new Map<string, Map<number, number>>();
  #probes = 0;

  constructor(scene: LabScene) {
    const { place, state } = scene.lab;
    this.#monitors = labHosts(place, state.nodes).map(async ({ name }) => {
      const seen = new Map<number, number>();
      this.#seen.set(name, seen);
      await follow(['ip', 'netns', 'exec', hostNamespace(place, name), 'nft', 'monitor'], {
        signal: this.#ending.signal,
        onLine: (line) => {
          const port = /^add rule inet pvc .* tcp dport (\d+) /u.exec(line)?.[1];
          if (port !== undefined && !seen.has(Number(port))) seen.set(Number(port), systemClock.monotonicMs());
        },
      });
    });
  }

  /** A monitor says nothing when it begins, so rules are added until each has told of one. */
  async areListening(scene: LabScene): Promise<boolean> {
    this.#probes += 1;
    await add(scene, this.#probes);
    return [...this.#seen.values()].every((seen) => seen.size > 0);
  }

  /** When the last host had the rule, on the monotonic clock. */
  async everywhere(port: number): Promise<number> {
    await until(() => [...this.#seen.values()].every((seen) => seen.has(port)), LIMIT_MS, `the rule of port ${port} on every host`);
    return Math.max(...[...this.#seen.values()].map((seen) => seen.get(port) ?? 0));
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#monitors);
  }
}
