/** Our tables are named `pvc` in these families: routed traffic, and frames between the ports of one bridge. */
export type FirewallFamily = 'inet' | 'bridge';

export interface ObservedChain {
  readonly mark: string | undefined;
  readonly ruleCount: number;
  /** As they were given; known of a chain that this process has put in force itself. */
  readonly rules?: readonly string[];
}

export interface ObservedTable {
  readonly chains: ReadonlyMap<string, ObservedChain>;
  /** Marks by the name of their chain, also of chains that are gone. */
  readonly marks: ReadonlyMap<string, string>;
  /** All other sets and maps with their elements, each as `key`, `part . part` or `key : verdict`, without quotes; those that the kernel fills itself have none. */
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
  /** Ends what it has started, when nobody lists and applies any more. */
  stop(): void;
}

/** What nft says of a document: `line` counts from 1; undefined when it does not name a place. */
export interface FirewallFault {
  readonly line: number | undefined;
  readonly message: string;
}
