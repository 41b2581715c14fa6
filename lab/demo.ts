import { z } from 'zod';
import { AppError } from '../common/errors.ts';
import { apiUrl, callApi } from './api-client.ts';
import { cachedImage } from './guest-image.ts';
import { guestCeph } from './ceph-config.ts';
import { guestXml } from './guest.ts';
import { waitFor } from './processes.ts';
import type { LabPlace, LabState } from './state.ts';

const NAME = 'demo';
const STEP_TIMEOUT_MS = 120_000;
const HTTP_OK = 200;

const vm = z.looseObject({ name: z.string(), state: z.string(), node: z.string() });
const node = z.looseObject({ domain_state: z.string() });
const consoleEnd = z.looseObject({ data: z.string() });
type Vm = z.infer<typeof vm>;

/** A tour of the cluster through its HTTP API; each call is shown as the curl command that does the same. */
export async function demo(place: LabPlace, state: LabState, say: (text: string) => void): Promise<void> {
  const tour = new Tour(state, say);
  say(`export PVC_API_URL=${apiUrl(state)} PVC_API_TOKEN=…   # npm run lab -- env`);
  await tour.forget();
  say('\n# define a VM');
  const xml = guestXml(cachedImage(place.cache), { name: NAME, memoryMib: 128, accel: state.accel, networks: [], disks: [], ceph: guestCeph(place, state) });
  await tour.call('POST', '/api/v1/vm', { xml }, { xml: `"$(npm run -s lab -- guest-xml ${NAME})"` });
  say('\n# start it');
  await tour.call('POST', `/api/v1/vm/${NAME}/state`, { state: 'start' });
  const started = await tour.until('the VM to run', (now) => now.state === 'start');
  if (state.nodes > 1) {
    const counted = await tour.untilCounted(1);
    say('\n# migrate it live');
    await tour.call('POST', `/api/v1/vm/${NAME}/node`, { action: 'migrate' });
    const moved = await tour.until('the VM to run elsewhere', (now) => now.state === 'start' && now.node !== started.node);
    say('\n# its console: the guest goes on counting from where it was');
    await tour.untilCounted(counted + 1);
    say(`\n# flush its node, ${moved.node}`);
    await tour.call('POST', `/api/v1/node/${moved.node}/domain-state`, { 'domain-state': 'flush' });
    await tour.untilNode(moved.node, 'flushed');
    await tour.until('the VM to run elsewhere', (now) => now.state === 'start' && now.node !== moved.node);
    say('\n# and take the node back into service');
    await tour.call('POST', `/api/v1/node/${moved.node}/domain-state`, { 'domain-state': 'ready' });
    await tour.untilNode(moved.node, 'ready');
  }
  say('\n# away with it');
  await tour.call('DELETE', `/api/v1/vm/${NAME}`);
}

class Tour {
  readonly #state: LabState;
  readonly #say: (text: string) => void;

  constructor(state: LabState, say: (text: string) => void) {
    this.#state = state;
    this.#say = say;
  }

  /** Makes the call and shows it; `shown` replaces values that are too long to print. */
  async call(method: string, path: string, values: Record<string, string> = {}, shown: Record<string, string> = {}): Promise<void> {
    const fields = Object.entries(values).map(([name, value]) => ` --data-urlencode ${name}=${shown[name] ?? value}`);
    this.#say(`curl -sS -X ${method} -H "X-Api-Key: $PVC_API_TOKEN" "$PVC_API_URL${path}"${fields.join('')}`);
    const reply = await callApi(this.#state, method, path, values);
    this.#say(`  ${reply.status} ${JSON.stringify(reply.body)}`);
    if (reply.status !== HTTP_OK) throw new AppError('component', 'the API refused a step of the tour', { path, status: reply.status, body: reply.body });
  }

  /** Removes the VM of an earlier tour, if there is one. */
  async forget(): Promise<void> {
    const reply = await callApi(this.#state, 'GET', `/api/v1/vm/${NAME}`);
    if (reply.status !== HTTP_OK) return;
    this.#say('\n# there is one of an earlier tour');
    await this.call('DELETE', `/api/v1/vm/${NAME}`);
  }

  async until(what: string, condition: (now: Vm) => boolean): Promise<Vm> {
    const path = `/api/v1/vm/${NAME}`;
    const found = await waitFor({ what, timeoutMs: STEP_TIMEOUT_MS }, async () => {
      const now = vm.parse((await callApi(this.#state, 'GET', path)).body);
      if (now.state === 'fail') throw new AppError('component', 'the VM failed', { vm: now });
      return condition(now) ? now : undefined;
    });
    this.#say(`curl -sS -H "X-Api-Key: $PVC_API_TOKEN" "$PVC_API_URL${path}"\n  … state ${found.state}, node ${found.node}`);
    return found;
  }

  /** Waits until the guest has counted on its serial console to `least`, and returns its count. */
  async untilCounted(least: number): Promise<number> {
    const path = `/api/v1/vm/${NAME}/console`;
    const count = await waitFor({ what: 'the guest to count on its console', timeoutMs: STEP_TIMEOUT_MS }, async () => {
      const { data } = consoleEnd.parse((await callApi(this.#state, 'GET', path, { lines: '5' })).body);
      const last = Number([...data.matchAll(/GUEST: count (\d+)/gu)].at(-1)?.[1] ?? 0);
      return last >= least ? last : undefined;
    });
    this.#say(`curl -sS -H "X-Api-Key: $PVC_API_TOKEN" "$PVC_API_URL${path}?lines=5"\n  … GUEST: count ${count}`);
    return count;
  }

  async untilNode(name: string, domainState: string): Promise<void> {
    const path = `/api/v1/node/${name}`;
    await waitFor({ what: `${name} to be ${domainState}`, timeoutMs: STEP_TIMEOUT_MS }, async () => {
      const now = node.parse((await callApi(this.#state, 'GET', path)).body);
      return now.domain_state === domainState ? true : undefined;
    });
    this.#say(`curl -sS -H "X-Api-Key: $PVC_API_TOKEN" "$PVC_API_URL${path}"\n  … domain state ${domainState}`);
  }
}
