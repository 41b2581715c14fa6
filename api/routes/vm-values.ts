import { z } from 'zod';
import type { Clock } from '../../common/clock.ts';
import type { VmId } from '../../common/ids.ts';
import { findVm } from '../../common/operations/find-vm.ts';
import type { VmOperations } from '../../common/operations/vm.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import { selector, XML_MAX_BYTES, type VmSpec } from '../../common/schema/vm.ts';
import type { Store } from '../../common/store/store.ts';
import type { ApiMirror } from '../cluster.ts';
import { missingVolumeSize } from '../params/storage.ts';
import { freeText, list, optionalText, text } from '../params/values.ts';
import type { VmCache } from '../present/vm-cache.ts';
import type { VmDisks } from '../vm-disks.ts';

/** What the routes of VMs work with. */
export interface VmRouteDeps {
  mirror: ApiMirror;
  store: Store;
  vms: VmOperations;
  cache: VmCache;
  disks: VmDisks;
  clock: Clock;
}

/** Longest name that is looked up; every real one is shorter. */
export const NAME_MAX_CHARS = 255;

/** The values that more than one route knows. */
export const VM_VALUES = {
  vm: text(freeText(NAME_MAX_CHARS), 'Name or UUID of the VM, exactly.'),
  xml: text(z.string(), `Libvirt domain definition, at most ${XML_MAX_BYTES} bytes.`),
  create_volumes: list(
    missingVolumeSize,
    'Sizes of volumes that are created where the definition names them and they do not exist: a size, such as 20G, for each; vda:20G for that of one disk, which goes before it.',
  ),
  node: optionalText(freeText(NAME_MAX_CHARS), 'Node to use; one is chosen when it is missing, unknown, or cannot take the VM.'),
  selector: optionalText(
    z.union([selector, z.enum(['none', 'None']).transform(() => undefined)]),
    'How a node is chosen: most free memory, least provisioned memory, fewest vCPUs, least load, fewest VMs; none: the cluster default.',
  ),
};


/** The VM that the path names. @throws AppError 'not-found'. */
export function vmOf(deps: { mirror: ApiMirror }, nameOrUuid: string): Versioned<VmSpec> & { readonly uuid: VmId } {
  const vm = findVm(deps.mirror, nameOrUuid);
  return { ...vm, uuid: vm.doc.uuid };
}
