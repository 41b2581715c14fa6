import { delay } from '../../common/clock.ts';
import { ClientError } from '../client-error.ts';
import type { ClusterClient } from '../cluster-client.ts';
import type { Connection } from '../connection.ts';
import type { IdentityClient } from '../identity-client.ts';
import type { NetworkClient } from '../network-client.ts';
import type { NodeClient } from '../node-client.ts';
import type { StorageClient } from '../storage-client.ts';
import type { TaskClient } from '../task-client.ts';
import type { VmClient } from '../vm-client.ts';
import type { Column } from './output/column.ts';
import { renderDocument, renderItem, renderList, type Format, type Look, type Section } from './output/render.ts';
import { canAsk, hasColours, type Terminal } from './terminal.ts';
import type { Reply } from './verb.ts';

/** What the options that many commands have say. */
export interface Settings {
  readonly connection: string | undefined;
  readonly format: Format;
  readonly columns: readonly string[] | undefined;
  readonly sort: readonly string[] | undefined;
  readonly filter: readonly string[] | undefined;
  /** Milliseconds between two looks; undefined: only one. */
  readonly watchMs: number | undefined;
  readonly yes: boolean;
  readonly wait: boolean;
  /** Longest wait, in milliseconds. */
  readonly waitLimitMs: number;
}

/** What a command works with: the clients of the services, loaded when they are asked for, and its output. */
export class Context {
  readonly terminal: Terminal;
  readonly settings: Settings;
  #connection: Connection | undefined;

  constructor(terminal: Terminal, settings: Settings) {
    this.terminal = terminal;
    this.settings = settings;
  }

  /** URL of the API, once something has been asked of it. */
  get url(): string | undefined {
    return this.#connection?.endpoint.url;
  }

  /** @throws ClientError 'arguments' when no cluster is named. */
  async connection(): Promise<Connection> {
    if (this.#connection === undefined) {
      const [{ chooseConnection }, { openConnection }] = await Promise.all([import('./connections.ts'), import('./open-connection.ts')]);
      this.#connection = openConnection(chooseConnection(this.settings.connection, this.terminal.env), this.terminal.clock);
    }
    return this.#connection;
  }

  identity(): Promise<IdentityClient> {
    return this.#connected(import('../identity-client.ts'), (module, connection) => new module.IdentityClient(connection));
  }

  cluster(): Promise<ClusterClient> {
    return this.#connected(import('../cluster-client.ts'), (module, connection) => new module.ClusterClient(connection));
  }

  nodes(): Promise<NodeClient> {
    return this.#connected(import('../node-client.ts'), (module, connection) => new module.NodeClient(connection));
  }

  vms(): Promise<VmClient> {
    return this.#connected(import('../vm-client.ts'), (module, connection) => new module.VmClient(connection));
  }

  networks(): Promise<NetworkClient> {
    return this.#connected(import('../network-client.ts'), (module, connection) => new module.NetworkClient(connection));
  }

  storage(): Promise<StorageClient> {
    return this.#connected(import('../storage-client.ts'), (module, connection) => new module.StorageClient(connection));
  }

  tasks(): Promise<TaskClient> {
    return this.#connected(import('../task-client.ts'), (module, connection) => new module.TaskClient(connection));
  }

  /** The module of a client is loaded while the connection is opened. */
  async #connected<M, C>(loading: Promise<M>, client: (module: M, connection: Connection) => C): Promise<C> {
    const [module, connection] = await Promise.all([loading, this.connection()]);
    return client(module, connection);
  }

  /** Ends the connection that is kept for a next call. */
  close(): void {
    this.#connection?.close();
  }

  write(text: string): void {
    this.terminal.stdout.write(text);
  }

  /** A line for people: standard output may be a pipe. */
  note(line: string): void {
    this.terminal.stderr.write(`${line}\n`);
  }

  async printList<Row>(columns: readonly Column<Row>[], rows: () => Promise<readonly Row[]>): Promise<void> {
    await this.#printed(async () => renderList(columns, await rows(), this.#look()));
  }

  async printItem<Item>(parts: { fields: readonly Column<Item>[]; sections: readonly Section<Item>[] }, item: () => Promise<Item>): Promise<void> {
    await this.#printed(async () => renderItem(parts, await item(), this.#look()));
  }

  /** A text that is made anew for each look; a document in the formats of programs. */
  async printText<T>(read: () => Promise<T>, show: (seen: T, coloured: boolean) => string | Promise<string>): Promise<void> {
    const { format } = this.settings;
    await this.#printed(async () => {
      const seen = await read();
      return format === 'json' || format === 'yaml' ? renderDocument(seen, format) : show(seen, this.#look().coloured);
    });
  }

  async printReply(reply: Reply): Promise<void> {
    const { format } = this.settings;
    this.write(format === 'json' || format === 'yaml' ? await renderDocument(reply, format) : `${reply.message}\n`);
  }

  /**
   * Asks before something is lost, unless `--yes` says it already.
   * @throws ClientError 'arguments' without a terminal to ask at, 'aborted' when the answer is no.
   */
  async confirm(loses: () => Promise<readonly string[]>): Promise<void> {
    if (this.settings.yes) return;
    const lines = await loses();
    if (lines.length === 0) return;
    if (!canAsk(this.terminal)) throw new ClientError('arguments', `${lines.join('; ')}: say --yes, there is no terminal to ask at`);
    for (const line of lines) this.note(line);
    const { askYes } = await import('./prompt.ts');
    if (!(await askYes(this.terminal, 'Go on?'))) throw new ClientError('aborted', 'nothing was done');
  }

  #look(): Look {
    const { columns, sort, filter, format } = this.settings;
    return { columns, sort, filter, format, coloured: hasColours(this.terminal.stdout, this.terminal.env) };
  }

  async #printed(text: () => Promise<string>): Promise<void> {
    const { watchMs } = this.settings;
    if (watchMs === undefined) {
      this.write(await text());
      return;
    }
    const { watch } = await import('./watch.ts');
    await watch({ terminal: this.terminal, text, pause: (signal) => delay(this.terminal.clock, watchMs, signal) });
  }
}
