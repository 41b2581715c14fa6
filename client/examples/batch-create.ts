import { toClientError } from '../client-error.ts';
import type { VmView } from '../../common/view/vm.ts';
import type { VmClient } from '../vm-client.ts';

export interface WantedVm {
  name: string;
  /** Libvirt domain definition. */
  xml: string;
}

/** What became of one of them. */
export type Created = { name: string; vm: VmView } | { name: string; error: string; details: readonly string[] };

/**
 * Defines and starts all of these VMs and waits until each runs. One that fails does not stop the rest.
 * @param limitMs longest wait for each, in milliseconds.
 */
export async function batchCreate(vms: VmClient, wanted: readonly WantedVm[], limitMs: number): Promise<Created[]> {
  return Promise.all(wanted.map((one) => create(vms, one, limitMs)));
}

async function create(vms: VmClient, { name, xml }: WantedVm, limitMs: number): Promise<Created> {
  try {
    await vms.define(xml);
    await vms.start(name);
    return { name, vm: await vms.waitVm(name, 'start', { limitMs }) };
  } catch (error) {
    const { message, details } = toClientError(error);
    return { name, error: message, details };
  }
}
