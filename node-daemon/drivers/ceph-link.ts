import type { CephAccess } from '../../common/config.ts';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import { Rados } from '../../common/rados/rados.ts';

/** The daemon's one connection to Ceph. */
export interface CephLink {
  /** @throws AppError 'unavailable', 'timeout', 'not-allowed', 'not-found' of a file. */
  rados(): Promise<Rados>;
  /** Safe to call twice. */
  stop(): Promise<void>;
}

/** Connects when it is first asked, since a node may start without Ceph, and again after that failed. */
export class RadosLink implements CephLink {
  readonly #access: CephAccess;
  readonly #deps: { clock: Clock; log: Logger };
  #rados: Promise<Rados> | undefined;

  constructor({ config_file, client, keyring_file }: CephAccess, { clock, log }: { clock: Clock; log: Logger }) {
    this.#access = { config_file, client, keyring_file };
    this.#deps = { clock, log };
  }

  rados(): Promise<Rados> {
    const { config_file: configFile, client, keyring_file: keyringFile } = this.#access;
    const connecting = this.#rados ?? Rados.connect({ configFile, client, keyringFile, ...this.#deps });
    this.#rados = connecting;
    connecting.catch(() => {
      if (this.#rados === connecting) this.#rados = undefined;
    });
    return connecting;
  }

  async stop(): Promise<void> {
    const ending = this.#rados;
    this.#rados = undefined;
    if (ending !== undefined) await ending.then((rados) => rados.close(), () => undefined);
  }
}
