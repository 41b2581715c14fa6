import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock } from '../../common/clock.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import { aManagedNetwork } from '../support/builders.ts';
import { PrivateLan, type Namespace } from '../support/private-lan.ts';
import { ServingNode } from '../support/serving-node.ts';
import { until } from '../support/until.ts';
import { figure, median, type Figure } from './figure.ts';

/** The bar: against bare dnsmasq. */
const RATIO_BAR = 1.2;

const TURNS = 7;
const EXCHANGES = 300;
const LIMIT_MS = 60_000;
const VNI = 2001;

/** A client that knows its address asks again and again; prints the milliseconds from each discover to its ack. */
const CLIENT = `
import os, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, 25, b"eth0"); s.bind(("0.0.0.0", 68)); s.settimeout(10)
mac = bytes.fromhex("020000000001")
def send(kind, xid, more=b""):
    s.sendto(struct.pack("!4B4s2H16s16s192x4s", 1, 1, 6, 0, xid, 0, 0x8000, b"", mac, b"\\x63\\x82\\x53\\x63") + bytes([53, 1, kind]) + more + b"\\xff", ("255.255.255.255", 67))
def answer(kind, xid):
    while True:
        p = s.recv(2000); i = 240; o = {}
        while p[i] != 255: o[p[i]] = p[i + 2:i + 2 + p[i + 1]]; i += 2 + p[i + 1]
        if p[4:8] == xid and o[53] == bytes([kind]): return p[16:20], o[54]
for n in range(int(sys.argv[1])):
    xid = os.urandom(4); start = time.perf_counter()
    send(1, xid); ip, server = answer(2, xid)
    send(3, xid, b"\\x32\\x04" + ip + b"\\x36\\x04" + server); answer(5, xid)
    print((time.perf_counter() - start) * 1000)
`;

async function exchanges(guest: Namespace, count: number): Promise<number[]> {
  const { stdout } = await guest.run(['/usr/bin/python3', '-c', CLIENT, String(count)], { timeoutMs: LIMIT_MS });
  return stdout.split('\n').map(Number);
}

/** dnsmasq with a range and nothing else. */
async function bare(lan: PrivateLan, work: () => Promise<number[]>): Promise<number[]> {
  const config = await lan.file('bare.conf', `port=0\nkeep-in-foreground\ninterface=vmbr${VNI}\nbind-dynamic\ndhcp-range=10.5.0.100,10.5.0.199,255.255.255.0,48h\ndhcp-leasefile=${lan.folder}/bare.leases\npid-file=${lan.folder}/bare.pid\nquiet-dhcp\n`);
  const [program, ...args] = lan.host.wrap(['dnsmasq', `--conf-file=${config}`]);
  const child = spawn(program, args, { stdio: 'ignore' });
  try {
    return await work();
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

async function ours(node: ServingNode, work: () => Promise<number[]>): Promise<number[]> {
  node.become(true);
  await until(async () => (await node.pid(VNI)) > 0, LIMIT_MS, 'the server');
  try {
    return await work();
  } finally {
    await node.leave();
  }
}

/** From discover to ack, with leases written to the store beside it, against bare dnsmasq in turns; a client that has a lease, which nobody pings for. */
async function measure(): Promise<Figure[]> {
  const lan = await PrivateLan.make();
  const zookeeper = new MemoryZooKeeper({ clock: systemClock });
  const operator = new MemoryStore({ zookeeper, clock: systemClock, name: 'operator' });
  const node = new ServingNode('n1', lan, zookeeper);
  try {
    await lan.addBridge(`vmbr${VNI}`, ['10.5.0.1/24', '2001:db8:5::1/64']);
    const guest = await lan.addGuest(`vmbr${VNI}`, '02:00:00:00:00:01');
    await operator.start(new AbortController().signal);
    await operator.create(`/spec/network/${VNI}`, aManagedNetwork({ vni: VNI }));
    await node.start();
    const samples = { ours: [] as number[], bare: [] as number[] };
    const turn = async (): Promise<number[]> => {
      // The first is pinged for, and the server may still be starting.
      await exchanges(guest, 1).catch(() => exchanges(guest, 1));
      return exchanges(guest, EXCHANGES);
    };
    for (let count = 0; count < TURNS; count += 1) {
      samples.ours.push(median(await ours(node, turn)));
      samples.bare.push(median(await bare(lan, turn)));
    }
    const [one, other] = [median(samples.ours), median(samples.bare)];
    return [figure('dhcp-ack', one, 'ms', null), figure('dhcp-ratio', one / other, 'times', RATIO_BAR)];
  } finally {
    await node.leave();
    await node.dns.end();
    await node.abandon();
    await operator.stop();
    await lan.end();
  }
}

export const dhcp = { name: 'dhcp', measure };
