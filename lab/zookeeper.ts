import path from 'node:path';
import { labHosts, type LabHost, type LabPlace, type LabState } from './state.ts';

const CLIENT_PORT = 2181;
/** Short, so that a lost host is noticed soon; a busy machine delays a JVM by less than two of them. */
const TICK_MS = 500;
/** A leader that a majority has not heard for this many ticks steps down. */
const SYNC_LIMIT_TICKS = 6;
const INIT_LIMIT_TICKS = 40;
/** A dead peer's address does not answer at all; an election must not wait for it for long. */
const ELECTION_CONNECT_TIMEOUT_MS = 1_000;

const zookeeperFolder = (host: LabHost): string => path.join(host.folder, 'zookeeper');

export function coordinators(place: LabPlace, state: LabState): LabHost[] {
  return labHosts(place, state.nodes).filter((host) => host.coordinator);
}

/** `address:port` of each server of the ensemble. */
export function zookeeperHosts(place: LabPlace, state: LabState): string[] {
  return coordinators(place, state).map((host) => `${host.address}:${CLIENT_PORT}`);
}

export function zooCfg(place: LabPlace, state: LabState, host: LabHost): string {
  const servers = coordinators(place, state).map((peer) => `server.${peer.number}=${peer.address}:2888:3888`);
  return [
    `tickTime=${TICK_MS}`,
    `initLimit=${INIT_LIMIT_TICKS}`,
    `syncLimit=${SYNC_LIMIT_TICKS}`,
    `dataDir=${zookeeperFolder(host)}/data`,
    `clientPort=${CLIENT_PORT}`,
    `clientPortAddress=${host.address}`,
    'maxClientCnxns=0',
    // The default ceiling, 20 ticks, would shorten the sessions of clients that ask for more.
    'maxSessionTimeout=120000',
    'admin.enableServer=false',
    '4lw.commands.whitelist=srvr,mntr,stat,ruok,cons,wchs',
    'autopurge.snapRetainCount=3',
    'autopurge.purgeInterval=1',
    ...servers,
    '',
  ].join('\n');
}

export function zookeeperCommand(host: LabHost): [string, ...string[]] {
  return [
    'java',
    '-Xms32m',
    '-Xmx192m',
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    '-XX:MaxMetaspaceSize=64m',
    // The hosts share /tmp, where the JVM would keep a file named after a pid that they share too.
    '-XX:-UsePerfData',
    // No power cut of the lab loses the page cache, so nothing is gained by waiting for the one disk under all servers.
    '-Dzookeeper.forceSync=no',
    '-Dzookeeper.preAllocSize=4096',
    `-Dzookeeper.cnxTimeout=${ELECTION_CONNECT_TIMEOUT_MS}`,
    '-cp',
    '/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar',
    'org.apache.zookeeper.server.quorum.QuorumPeerMain',
    `${zookeeperFolder(host)}/zoo.cfg`,
  ];
}

export const zookeeperProbe = (host: LabHost) => ({ kind: 'zookeeper', host: host.address, port: CLIENT_PORT }) as const;
