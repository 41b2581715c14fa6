/** What those need to know of the primary role who serve the networks while this node has it. */
export interface PrimaryRole {
  /** True while this node may serve: it holds the lease, by proof. */
  isMine(): boolean;
  /** Told after the answer has changed. @returns the function that ends the subscription. */
  onChange(listener: () => void): () => void;
}
