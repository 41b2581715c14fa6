import { DONE, type Outcome } from '../../common/reconcile/reconciler.ts';
import type { CephFiles } from '../drivers/ceph-files.ts';
import type { LibvirtSecrets } from '../drivers/libvirt-secret.ts';

/** There is one on a host. */
export const CEPH_SECRET_KEY = 'ceph-secret';

export interface CephSecretDeps {
  files: CephFiles;
  secrets: Pick<LibvirtSecrets, 'set'>;
  client: string;
  keyringFile: string;
  /** Undefined: the cluster's fsid. */
  uuid: string | undefined;
}

/** Keeps the key of guests' disks in libvirt's secret on this host. */
export class CephSecretReconciler {
  readonly #deps: CephSecretDeps;

  constructor(deps: CephSecretDeps) {
    this.#deps = deps;
  }

  /** @throws AppError 'component' when the configuration has no fsid and no UUID was given. */
  async uuid(): Promise<string> {
    return this.#deps.uuid ?? (await this.#deps.files.fsid());
  }

  async reconcile(): Promise<Outcome> {
    const { files, secrets, client, keyringFile } = this.#deps;
    await secrets.set(await this.uuid(), await files.key(client, keyringFile));
    return DONE;
  }
}
