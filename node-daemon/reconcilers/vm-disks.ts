import { readDomainFacts } from '../../common/domain/domain-xml.ts';
import { withRbdAccess, type RbdAccess } from '../../common/domain/rbd-access.ts';

/** The RBD disks of a guest, before it is. */
export interface VmDisks {
  /**
   * The definition that the guest is started from.
   * @throws AppError 'component' when this host does not know its Ceph.
   */
  ready(xml: string): Promise<string>;
}

/** Of a cluster without Ceph: an RBD disk must say by itself where it is. */
export const NO_DISKS: VmDisks = { ready: async (xml) => xml };

/** Fills in how the cluster's Ceph is reached. */
export class CephVmDisks implements VmDisks {
  readonly #access: () => Promise<RbdAccess>;

  constructor(access: () => Promise<RbdAccess>) {
    this.#access = access;
  }

  async ready(xml: string): Promise<string> {
    if (!readDomainFacts(xml).disks.some((disk) => disk.type === 'rbd')) return xml;
    return withRbdAccess(xml, await this.#access());
  }
}
