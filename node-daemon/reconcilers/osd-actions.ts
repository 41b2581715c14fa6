import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { OsdId, OsdSpec, OsdUuid } from '../../common/schema/osd.ts';
import type { OsdAction } from '../plans/osd.ts';
import { deviceFault } from '../plans/osd-device.ts';
import { numberOf, type OsdWorld, type SeenOsd } from './osd-observer.ts';

/** Tries of one action within one task; a refusal counts as all of them. */
const TRIES_MAX = 3;

interface Failure {
  tries: number;
  why: string;
  isFinal: boolean;
}

export interface OsdActionsDeps {
  world: OsdWorld;
  /** Told the number as soon as there is one. */
  registered: (spec: OsdSpec, id: OsdId) => Promise<void>;
}

/** Carries out what the plan says, and counts what failed. */
export class OsdActions {
  readonly #deps: OsdActionsDeps;
  readonly #failures = new Map<OsdUuid, Map<OsdAction, Failure>>();

  constructor(deps: OsdActionsDeps) {
    this.#deps = deps;
  }

  /** What is not tried again. */
  exhausted(uuid: OsdUuid): ReadonlyMap<OsdAction, string> {
    const failures = [...(this.#failures.get(uuid) ?? [])];
    return new Map(failures.filter(([, { tries, isFinal }]) => isFinal || tries >= TRIES_MAX).map(([action, { why }]) => [action, why]));
  }

  /** @returns how often it has failed. */
  failed(uuid: OsdUuid, action: OsdAction, error: unknown): number {
    const failures = this.#failures.get(uuid) ?? new Map<OsdAction, Failure>();
    const tries = (failures.get(action)?.tries ?? 0) + 1;
    failures.set(action, { tries, why: describeError(error), isFinal: !isAppError(error, 'component', 'timeout') });
    this.#failures.set(uuid, failures);
    return tries;
  }

  forget(uuid: OsdUuid): void {
    this.#failures.delete(uuid);
  }

  async run(action: OsdAction, { spec, seen }: { spec: OsdSpec; seen: SeenOsd }, signal: AbortSignal): Promise<void> {
    const { cluster, devices, service, store } = this.#deps.world;
    switch (action) {
      case 'zap':
        return devices.zap(seen.deviceName, seen.label, signal);
      case 'register':
        return this.#register(spec, signal);
      case 'prepare':
        return this.#prepare(spec, seen, signal);
      case 'activate':
        return store.activate({ id: numberOf(seen), uuid: spec.uuid, device: seen.deviceName }, signal);
      case 'place':
        return cluster.place(numberOf(seen), { host: spec.node, weight: spec.weight }, signal);
      case 'start':
        return service.startOsd({ id: numberOf(seen), host: spec.node }, signal);
      case 'set-out':
      case 'set-in':
        return cluster.setIn(numberOf(seen), action === 'set-in', signal);
      case 'stop':
        return service.stopOsd(numberOf(seen), signal);
      case 'purge':
        return cluster.purge({ id: numberOf(seen), force: spec.removal?.force === true }, signal);
      case 'wipe':
        return devices.wipe(seen.deviceName, spec.uuid, signal);
      case 'remove-folder':
        return store.remove(numberOf(seen), spec.uuid);
      case 'remove-host':
        return cluster.removeHost(spec.node, signal);
    }
  }

  /** The key is kept on this host until the OSD has it: nobody can read it from the cluster. */
  async #register(spec: OsdSpec, signal: AbortSignal): Promise<void> {
    const { cluster, store } = this.#deps.world;
    const secret = await store.secret(spec.uuid, signal);
    await this.#deps.registered(spec, await cluster.register({ uuid: spec.uuid, secret }, signal));
  }

  /** What an earlier try has left is emptied first; whatever else came onto the device meanwhile is somebody's. */
  async #prepare(spec: OsdSpec, seen: SeenOsd, signal: AbortSignal): Promise<void> {
    const { devices, store } = this.#deps.world;
    const check = async (): Promise<void> => {
      const device = await devices.facts(seen.deviceName, signal);
      const fault = deviceFault(device, spec.uuid);
      if (fault !== undefined) throw new AppError('state', fault);
      if (device.kind === 'device' && device.label !== null) await devices.wipe(seen.deviceName, spec.uuid, signal);
    };
    await store.prepare({ id: numberOf(seen), uuid: spec.uuid, device: seen.deviceName }, check, signal);
  }
}
