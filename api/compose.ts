import { readFile } from 'node:fs/promises';
import { delay, withTimeout, type Clock } from '../common/clock.ts';
import type { PlacementPolicy } from '../common/domain/placement.ts';
import { AppError, describeError, isAppError } from '../common/errors.ts';
import type { Logger } from '../common/log.ts';
import { Audit, AUDIT_INTERVAL_MS } from '../common/mirror/audit.ts';
import { createMirror } from '../common/mirror/mirror.ts';
import type { OperationContext } from '../common/operations/context.ts';
import { dhcpReservationOperations } from '../common/operations/dhcp-reservation.ts';
import { networkAclOperations } from '../common/operations/network-acl.ts';
import { networkOperations } from '../common/operations/network.ts';
import { nodeOperations } from '../common/operations/node.ts';
import { OccupancyLedger } from '../common/operations/occupancy-ledger.ts';
import { osdOperations } from '../common/operations/osd.ts';
import { vmOperations } from '../common/operations/vm.ts';
import { NetworkPartSweep } from '../common/operations/network-part-sweep.ts';
import { VmNameSweep } from '../common/operations/vm-name-sweep.ts';
import { converse } from '../common/process.ts';
import { API_MIRRORED, RESOURCES } from '../common/schema/resources.ts';
import type { Store } from '../common/store/store.ts';
import { checkRoutes, createApp } from './app.ts';
import type { ApiMirror } from './cluster.ts';
import { allStorageRoutes, composeStorage, type Storage } from './compose-storage.ts';
import type { ApiConfig } from './config.ts';
import { docsPage } from './docs-page.ts';
import { EventRing } from './event-ring.ts';
import { EventStreams } from './event-stream.ts';
import { Tokens } from './middleware/authenticate.ts';
import { LoginLimit } from './middleware/login-limit.ts';
import { ClusterSessionStore } from './middleware/session-store.ts';
import { NftCheck } from './nft-check.ts';
import { describingRoutes } from './openapi.ts';
import { VmCache } from './present/vm-cache.ts';
import type { Route } from './route.ts';
import { authRoutes, type AuthRouteDeps } from './routes/auth.ts';
import { dhcpLeaseRoutes } from './routes/dhcp-lease.ts';
import { eventRoutes } from './routes/events.ts';
import { networkAclRoutes } from './routes/network-acl.ts';
import { networkRoutes } from './routes/network.ts';
import { nodeRoutes } from './routes/node.ts';
import { NO_OSDS, osdTaskRoutes } from './routes/osd-task.ts';
import { rootRoutes } from './routes/root.ts';
import { statusRoutes } from './routes/status.ts';
import { taskRoutes } from './routes/task.ts';
import { vmMetaRoutes } from './routes/vm-meta.ts';
import { vmPowerRoutes } from './routes/vm-power.ts';
import { vmRoutes } from './routes/vm.ts';
import { createServer, listen, trackUnused, type TlsFiles } from './server.ts';

export interface ApiDeps {
  config: ApiConfig;
  store: Store;
  clock: Clock;
  log: Logger;
}

export interface Api {
  /** Loads the cluster's state and listens; safe to call twice. */
  start(signal: AbortSignal): Promise<void>;
  /** Ends streams, lets requests finish for a moment, closes; safe to call twice. Leaves the store to its owner. */
  stop(): Promise<void>;
  /** Where it listens, once started. */
  readonly port: number;
  readonly routes: readonly Route[];
  readonly mirror: ApiMirror;
}

/** Requests in flight get this long to finish when the API is stopped. */
const DRAIN_MS = 3_000;
/** How often ended requests are looked for meanwhile: their connections would stay for the keep-alive time, and a hand-over waits for this. */
const IDLE_LOOK_MS = 20;
const SWEEP_MS = 3_600_000;

/** Puts the API together. The store is started and stopped by the caller. */
export function composeApi(deps: ApiDeps): Api {
  const { config, store, clock, log } = deps;
  const mirror = createMirror({ store, table: RESOURCES, kinds: API_MIRRORED, clock, log });
  const audit = new Audit({ mirror, store, clock, log, intervalMs: AUDIT_INTERVAL_MS });
  const occupancy = new OccupancyLedger(mirror);
  const cache = new VmCache({ mirror, clock, log });
  const ring = new EventRing({ mirror });
  const streams = new EventStreams({ mirror, ring, cache, clock });
  const sessions = new ClusterSessionStore({ store, clock });
  const auth = { enabled: config.pvc.api.authentication.enabled, tokens: new Tokens(config.pvc.api.authentication), limit: new LoginLimit(clock) };
  const context = { store, mirror, occupancy, clock, placement: placementOf(config) };
  const names = new VmNameSweep({ context, log, intervalMs: SWEEP_MS });
  const networkParts = new NetworkPartSweep({ context, log, intervalMs: SWEEP_MS });
  const nft = new NftCheck({ converse, clock, privileged: process.getuid?.() === 0 });
  const storage = composeStorage({ config, clock, log });
  const routes = routesOf(deps, { mirror, context, cache, streams, auth, nft, storage });
  const app = createApp({ config: config.pvc.api, mirror, clock, log, sessions, auth, routes });
  const running = new AbortController();
  let server: Listening | undefined;
  let port = 0;
  return {
    routes,
    mirror,
    get port() {
      return port;
    },
    start: async (signal) => {
      if (server !== undefined) return;
      const created = createServer(app, await tlsFiles(config));
      server = { server: created, closeUnused: trackUnused(created) };
      await mirror.start(signal);
      occupancy.start();
      audit.start();
      names.start();
      networkParts.start();
      ring.start();
      cache.start();
      storage.start();
      port = await listen(created, { host: config.pvc.api.listen_address, port: config.pvc.api.listen_port });
      log.info({ address: config.pvc.api.listen_address, port, tls: config.pvc.api.ssl.enabled, authentication: auth.enabled }, 'API listens');
      if (!auth.enabled) log.warn({}, 'authentication is off: everybody who can reach this port may do everything');
      sweepSessions({ sessions, clock, log }, running.signal);
    },
    stop: async () => {
      running.abort();
      const ending = server;
      server = undefined;
      if (ending !== undefined) await closeServer(ending, { streams, clock });
      cache.stop();
      ring.stop();
      nft.close();
      await networkParts.stop();
      await names.stop();
      await audit.stop();
      await storage.stop();
      occupancy.stop();
      await mirror.stop();
    },
  };
}

interface Listening {
  server: ReturnType<typeof createServer>;
  closeUnused: () => void;
}

interface Parts {
  mirror: ApiMirror;
  context: OperationContext;
  cache: VmCache;
  streams: EventStreams;
  auth: AuthRouteDeps;
  nft: NftCheck;
  storage: Storage;
}

function placementOf(config: ApiConfig): PlacementPolicy {
  const { selector, reserve_mib } = config.pvc.placement;
  return { selector, reserveMib: reserve_mib };
}

function routesOf({ config, store, clock }: ApiDeps, { mirror, context, cache, streams, auth, nft, storage }: Parts): Route[] {
  const vmDeps = { mirror, store, vms: vmOperations(context), cache, disks: storage.disksOfVms(mirror), clock };
  const working = [
    ...rootRoutes(),
    ...authRoutes(auth),
    ...statusRoutes({ mirror, store, storage: storage.watch, upstreamIp: config.pvc.api.listen_address }),
    ...nodeRoutes({ store, mirror, nodes: nodeOperations(context), clock }),
    ...vmRoutes(vmDeps),
    ...vmPowerRoutes(vmDeps),
    ...vmMetaRoutes(vmDeps),
    ...networkRoutes({ mirror, networks: networkOperations(context) }),
    ...networkAclRoutes({ mirror, acls: networkAclOperations(context), check: nft }),
    ...dhcpLeaseRoutes({ mirror, reservations: dhcpReservationOperations(context) }),
    ...allStorageRoutes({ cluster: storage.cluster, mirror, vms: vmDeps.vms, clock }),
    ...osdTaskRoutes({ mirror, clock, osds: config.pvc.enable_storage ? osdOperations(context) : NO_OSDS }),
    ...taskRoutes({ mirror }),
    ...eventRoutes({ streams }),
  ];
  const routes = [...working, ...describingRoutes(working, docsPage)];
  checkRoutes(routes);
  return routes;
}

/** @throws AppError 'invalid' when a file cannot be read. */
async function tlsFiles(config: ApiConfig): Promise<TlsFiles | undefined> {
  const { ssl } = config.pvc.api;
  if (!ssl.enabled) return undefined;
  try {
    return { cert: await readFile(ssl.cert_file), key: await readFile(ssl.key_file) };
  } catch (cause) {
    throw new AppError('invalid', 'a file of pvc.api.ssl cannot be read', { faults: [`pvc.api.ssl: ${String(cause)}`] }, { cause });
  }
}

async function closeServer({ server, closeUnused }: Listening, { streams, clock }: { streams: EventStreams; clock: Clock }): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  streams.stop();
  const drained = new AbortController();
  const closeWhatIsIdle = (): void => {
    server.closeIdleConnections();
    closeUnused();
    if (!drained.signal.aborted) clock.after(IDLE_LOOK_MS, closeWhatIsIdle);
  };
  closeWhatIsIdle();
  try {
    await withTimeout(clock, { timeoutMs: DRAIN_MS, what: 'the end of the requests in flight' }, () => closed);
  } catch (error) {
    if (!isAppError(error, 'timeout')) throw error;
    server.closeAllConnections();
    await closed;
  } finally {
    drained.abort();
  }
}

/** Expired sessions are refused anyway; this removes what is left of them. */
function sweepSessions({ sessions, clock, log }: { sessions: ClusterSessionStore; clock: Clock; log: Logger }, signal: AbortSignal): void {
  const sweep = async (): Promise<void> => {
    while (!signal.aborted) {
      await sessions.sweep().catch((error: unknown) => {
        if (!signal.aborted) log.warn({ error: describeError(error) }, 'expired sessions could not be removed; will be tried again');
      });
      await delay(clock, SWEEP_MS, signal);
    }
  };
  sweep().catch((error: unknown) => {
    if (!isAppError(error, 'cancelled')) log.error({ error: describeError(error) }, 'the sweep of sessions ended');
  });
}
