import { run } from '../../common/process.ts';
import { switchNamespace } from '../../lab/state.ts';
import { LINK_GROUP } from '../../node-daemon/drivers/link.ts';
import type { Lab } from './lab.ts';

const TAGGING_LIMIT_MS = 240_000;
const SEEN_LIMIT_MS = 60_000;

/** Of packet(7): auxiliary data with the tag that the kernel takes out of a received frame, and nothing of what this host sends. */
const COMMON = `
import fcntl, os, select, socket, struct, sys
def wire_of(device):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((device, 0)); wire.setsockopt(263, 8, 1); wire.setsockopt(263, 23, 1)
    return wire
def receive(wire):
    frame, data, _, _ = wire.recvmsg(65535, 64)
    for level, kind, value in data:
        if (level, kind) == (263, 8):
            status, _, _, _, _, tag, _ = struct.unpack("IIIHHHH", value[:20])
            if status & 16: return frame, tag & 0xfff
    return frame, None
`;

/** A device `vlanN` that puts the tag on what it is given and takes it off what comes, as the kernel's own does where it has 802.1Q. */
const TAGGER = `${COMMON}
device, vlan = sys.argv[1], int(sys.argv[2])
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", b"vlan%d" % vlan, 0x1002))
os.system("ip link set dev vlan%d group ${LINK_GROUP}" % vlan)
wire = wire_of(device)
try:
    while True:
        for ready in select.select([tap, wire], [], [])[0]:
            if ready is tap:
                frame = os.read(tap, 65535)
                wire.send(frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:])
            else:
                frame, tag = receive(wire)
                if tag == vlan: os.write(tap, frame)
except OSError:
    pass  # One of the devices is gone: the network's, or the host's.
`;

/** Prints the tag of the first ICMP packet over IPv4 from this address. */
const SNIFFER = `${COMMON}
wire, sender = wire_of(sys.argv[1]), socket.inet_aton(sys.argv[2])
while True:
    frame, tag = receive(wire)
    if frame[12:14] == b"\\x08\\x00" and frame[23] == 1 and frame[26:30] == sender: break
print(tag)
`;

const PYTHON = '/usr/bin/python3';

/**
 * Gives a host of the lab the VLAN device that its kernel may not be able to make, with the mark of our links: from then on the daemon has it as its own.
 * Resolves when the device was removed, as that of a deleted network is, or the host's went down.
 */
export async function tagVlan(lab: Lab, host: string, at: { device: string; vlan: number }): Promise<void> {
  await lab.exec(host, [PYTHON, '-c', TAGGER, at.device, String(at.vlan)], TAGGING_LIMIT_MS);
}

/** The VLAN in which the next ping from this address comes out of a host's second link, at the switch; 'None' without a tag. */
export async function vlanOnWire(lab: Lab, host: string, sender: string): Promise<string> {
  const { stdout } = await run(['ip', 'netns', 'exec', switchNamespace(lab.place), PYTHON, '-c', SNIFFER, `up-${host}`, sender], { timeoutMs: SEEN_LIMIT_MS });
  return stdout.trim();
}
