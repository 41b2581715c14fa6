/** Our tables are named `pvc` in these families: routed traffic, and frames between the ports of one bridge. */
export type FirewallFamily = 'inet' | 'bridge';

export interface ObservedChain {
  /** Comment of the first rule, by which its content is recognised: nft does not print rules as they were given. */
  readonly mark: string | undefined;
  readonly ruleCount: number;
}

export interface ObservedTable {
  readonly chains: ReadonlyMap<string, ObservedChain>;
  /** Sets and maps with their elements, each as `key`, `part . part` or `key : verdict`, without quotes. */
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Our tables as the kernel holds them; one that does not exist is missing. */
export type ObservedFirewall = ReadonlyMap<FirewallFamily, ObservedTable>;

/** The packet filter of this host. */
export interface Firewall {
  /** @throws AppError 'component', 'timeout', 'cancelled'. */
  list(signal?: AbortSignal): Promise<ObservedFirewall>;
  /**
   * Carries a document in nft's language out as one transaction: all of it, or nothing.
   * @returns the first thing that nft does not take; undefined when it is done.
   * @throws AppError 'component' when nft cannot be run, 'timeout', 'cancelled'.
   */
  apply(document: string, signal?: AbortSignal): Promise<FirewallFault | undefined>;
  /** Tells when somebody else may have changed something. */
  listen(listener: () => void): () => void;
}

/** What nft says of a document: `line` counts from 1; undefined when it does not name a place. */
export interface FirewallFault {
  readonly line: number | undefined;
  readonly message: string;
}
