import { ClientError } from './client-error.ts';
import type { CallOptions } from './connection.ts';
import { CLUSTER } from './operations/cluster.ts';
import { IDENTITY } from './operations/identity.ts';
import { ServiceClient } from './service-client.ts';

const UNAUTHENTICATED = 401;

/** Who asks, and what the API is. Every method throws ClientError only. */
export class IdentityClient extends ServiceClient {
  /** What listens there, in its own words. Needs no valid token. */
  about(options?: CallOptions): Promise<{ message: string }> {
    return this.connection.call(IDENTITY.about, {}, options);
  }

  /** The API's own description, as an OpenAPI document. Needs no valid token. */
  description(options?: CallOptions): Promise<Record<string, unknown>> {
    return this.connection.call(IDENTITY.description, {}, options);
  }

  /**
   * Whether the API takes the token (with `{ login }`: whether it can be logged in with). Says yes to anything where authentication is off.
   * @throws ClientError when that cannot be found out: 429 after too many failures.
   */
  async check(options?: CallOptions): Promise<boolean> {
    try {
      await this.connection.call(CLUSTER.primaryNode, {}, options);
    } catch (error) {
      if (!(error instanceof ClientError) || error.status === undefined || error.kind !== 'answer') throw error;
      if (error.status === UNAUTHENTICATED) return false;
      if (error.status !== NO_PRIMARY) throw error;
    }
    return true;
  }

  /** Opens the session now instead of with the first call. Does nothing with a token. 401: the token is not valid; 429: too many failures. */
  login(options?: CallOptions): Promise<void> {
    return this.connection.logIn(options);
  }

  /** Ends the session, if one is open; the next call would open another. Does nothing with a token. */
  async logout(options?: CallOptions): Promise<void> {
    await this.connection.call(IDENTITY.logout, {}, options);
    this.connection.forgetSession();
  }
}

/** The answer to somebody who may ask, while no node is primary. */
const NO_PRIMARY = 404;
