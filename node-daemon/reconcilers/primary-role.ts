/** What those need to know of the primary role who serve the networks while this node has it. */
export interface PrimaryRole {
  /** True while this node may serve: it holds the lease, by proof. */
  isMine(): boolean;
  /** Told after the answer has changed. @returns the function that ends the subscription. */
  onChange(listener: () => void): () => void;
}

/**
 * How long a server of a daemon that ended may go on when its successor starts, in milliseconds: the role comes back within moments or
 * goes to another node. Meanwhile it serves nobody without the gateway's address on its bridge.
 */
export const ADOPTION_GRACE_MS = 10_000;
