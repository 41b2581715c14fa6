import { Connection, type ConnectionOptions, type Credentials } from './connection.ts';

/** What the clients of all services have in common. */
export abstract class ServiceClient {
  /** Hand it to other clients to share sockets and session with them. */
  readonly connection: Connection;

  /**
   * Connects to nothing yet.
   * @param endpoint URL of the API, such as `https://pvc.example:7370`; or a connection to share, which has its credentials and options already.
   * @param credentials a token, or `{ login: token }` to work with a session, which is opened with the first call.
   * @throws ClientError 'arguments'.
   */
  constructor(endpoint: string | Connection, credentials: Credentials = '', options: ConnectionOptions = {}) {
    this.connection = endpoint instanceof Connection ? endpoint : new Connection(endpoint, credentials, options);
  }

  /** Ends the connections that are kept for the next call; a later call opens one again. */
  close(): void {
    this.connection.close();
  }
}
