import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyText } from '../../test/support/any-text.ts';
import { aDomainXml, aVmId, aVmName } from '../../test/support/builders.ts';
import { describeError, isAppError, type AppError } from '../errors.ts';
import { XML_MAX_BYTES } from '../schema/vm.ts';
import { parseDomainXml, readLiveDevices, withConsoleLog, withIdentity, withMacAddresses } from './domain-xml.ts';

/** Tries of a property; more with PVC_FUZZ_RUNS. */
const RUNS = Number(process.env['PVC_FUZZ_RUNS'] ?? 500);

/** Processor time within which a hostile definition of the permitted size is read or refused; a plain one of that size takes a tenth. */
const HOSTILE_LIMIT_MS = 1_000;

/** As libvirt 11 prints a domain of an existing cluster: ceph disk, bridged interface, topology, features. */
const LIBVIRT_DOMAIN = `<domain type='kvm' id='7'>
  <name>web1</name>
  <uuid>C9B1D2A4-5B7E-4D0B-9B4A-0F3C6E5D4A3B</uuid>
  <description>The web server &amp; more</description>
  <memory unit='KiB'>4194304</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu placement='static'>4</vcpu>
  <cpu><topology sockets='1' dies='1' cores='2' threads='2'/></cpu>
  <os><type arch='x86_64' machine='pc-i440fx-10.0'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/><pae/></features>
  <devices>
    <emulator>/usr/bin/kvm</emulator>
    <disk type='network' device='disk'>
      <driver name='qemu' discard='unmap'/>
      <auth username='libvirt'><secret type='ceph' uuid='0b0b0b0b-0000-4000-8000-000000000000'/></auth>
      <source protocol='rbd' name='vms/web1_sda'><host name='hv1' port='6789'/></source>
      <target dev='sda' bus='scsi'/>
    </disk>
    <disk type='file' device='cdrom'><source file='/srv/a.iso'/><target dev='hdc' bus='ide'/></disk>
    <disk type='block' device='disk'><source dev='/dev/zvol/x'/><target dev='vdb' bus='virtio'/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <controller type='usb'/>
    <interface type='bridge'>
      <mac address='52:54:00:01:02:03'/><source bridge='vmbr100'/><model type='virtio'/>
    </interface>
    <serial type='pty'><log file='/var/log/libvirt/web1.log' append='on'/></serial>
    <console type='pty'/>
  </devices>
</domain>`;

function refusal(xml: string): AppError {
  try {
    parseDomainXml(xml);
  } catch (error) {
    if (isAppError(error)) return error;
    throw error;
  }
  throw new Error('the definition was accepted');
}

/** Processor time rather than time, so that a busy machine changes nothing. */
function processorMs(work: () => void): number {
  const start = process.cpuUsage();
  work();
  return process.cpuUsage(start).user / 1_000;
}

function fails(work: () => void): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    if (isAppError(error, 'invalid', 'too-large')) return error.code;
    throw error;
  }
}

describe('facts', () => {
  test('every fact of a domain as libvirt prints it is read', () => {
    expect(parseDomainXml(LIBVIRT_DOMAIN)).toEqual({
      uuid: 'c9b1d2a4-5b7e-4d0b-9b4a-0f3c6e5d4a3b',
      name: 'web1',
      description: 'The web server & more',
      memoryMib: 4_096,
      vcpus: 4,
      vcpuTopology: '1/2/2',
      type: 'hvm',
      arch: 'x86_64',
      machine: 'pc-i440fx-10.0',
      console: 'pty',
      emulator: '/usr/bin/kvm',
      features: ['acpi', 'apic', 'pae'],
      disks: [
        { type: 'rbd', name: 'vms/web1_sda', dev: 'sda', bus: 'scsi' },
        { type: 'file', name: '/srv/a.iso', dev: 'hdc', bus: 'ide' },
        { type: 'block', name: '/dev/zvol/x', dev: 'vdb', bus: 'virtio' },
      ],
      networks: [{ type: 'bridge', mac: '52:54:00:01:02:03', source: 'vmbr100', model: 'virtio' }],
      controllers: [{ type: 'scsi', model: 'virtio-scsi' }, { type: 'usb', model: 'none' }],
    });
  });

  test('what a definition leaves out has its default', () => {
    const facts = parseDomainXml("<domain type='qemu'><name>x</name><memory>1048576</memory></domain>");
    expect(facts).toMatchObject({ uuid: undefined, memoryMib: 1_024, vcpus: 1, vcpuTopology: 'N/A', description: 'N/A', disks: [], networks: [], features: [] });
  });

  test('an element of the same name elsewhere in the tree is not taken for the domain\'s own', () => {
    const facts = parseDomainXml(aDomainXml({ name: 'outer', extra: '<metadata><name>inner</name><uuid>nonsense</uuid></metadata>' }));
    expect(facts.name).toBe('outer');
  });
});

describe('refusals', () => {
  const entity = `<!DOCTYPE domain [<!ENTITY a "guest">]>${aDomainXml({ name: '&a;' })}`;
  const external = `<!DOCTYPE domain [<!ENTITY a SYSTEM "file:///etc/passwd">]>${aDomainXml({ name: '&a;' })}`;
  const qemu = 'http://libvirt.org/schemas/domain/qemu/1.0';

  test.each([
    { what: 'a DOCTYPE', xml: `<!DOCTYPE domain>${aDomainXml()}`, says: 'DOCTYPE' },
    { what: 'an entity of its own', xml: entity, says: 'DOCTYPE' },
    { what: 'an external entity', xml: external, says: 'DOCTYPE' },
    { what: 'an unknown entity', xml: aDomainXml({ extra: '<title>&unknown;</title>' }), says: 'well-formed' },
    { what: 'text that is no XML', xml: 'guest', says: 'well-formed' },
    { what: 'nothing', xml: '', says: 'well-formed' },
    { what: 'an element that is not closed', xml: "<domain type='kvm'><name>x</name>", says: 'well-formed' },
    { what: 'two roots', xml: `${aDomainXml()}${aDomainXml()}`, says: 'well-formed' },
    { what: 'a network', xml: '<network><name>x</name></network>', says: 'not a libvirt domain.*network' },
    { what: 'a domain in a prefix', xml: "<x:domain xmlns:x='u' type='kvm'><name>x</name></x:domain>", says: 'not a libvirt domain' },
    { what: 'a container', xml: aDomainXml().replace("type='kvm'", "type='lxc'"), says: 'domain type' },
    { what: 'no type', xml: aDomainXml().replace(" type='kvm'", ''), says: 'domain type' },
    { what: 'raw QEMU arguments', xml: aDomainXml({ extra: `<qemu:commandline xmlns:qemu='${qemu}'><qemu:arg value='-x'/></qemu:commandline>` }), says: 'raw QEMU' },
    { what: 'raw QEMU arguments under another prefix', xml: aDomainXml({ extra: `<q:commandline xmlns:q='${qemu}'/>` }), says: 'raw QEMU' },
    { what: 'raw QEMU arguments as a default namespace', xml: aDomainXml({ extra: `<commandline xmlns='${qemu}'/>` }), says: 'raw QEMU' },
    { what: 'no name', xml: aDomainXml().replace(/<name>.*<\/name>/u, ''), says: 'no valid name' },
    { what: 'an empty name', xml: aDomainXml({ name: '' }), says: 'no valid name' },
    { what: 'a name with a slash', xml: aDomainXml({ name: '../x' }), says: 'no valid name.*letters' },
    { what: 'a name of 64 characters', xml: aDomainXml({ name: 'x'.repeat(64) }), says: 'no valid name' },
    { what: 'two names', xml: aDomainXml({ extra: '<name>other</name>' }), says: 'more than one.*name' },
    { what: 'a bad UUID', xml: aDomainXml({ uuid: 'c9b1d2a4' }), says: 'no valid UUID' },
    { what: 'an empty UUID', xml: aDomainXml({ uuid: '' }), says: 'no valid UUID' },
    { what: 'two UUIDs', xml: aDomainXml({ extra: `<uuid>${aVmId(2)}</uuid>` }), says: 'more than one.*uuid' },
    { what: 'no memory', xml: aDomainXml().replace(/<memory.*<\/memory>/u, ''), says: 'memory' },
    { what: 'no vCPU', xml: aDomainXml({ vcpus: 0 }), says: 'vCPUs' },
    { what: 'half a vCPU', xml: aDomainXml({ vcpus: 1.5 }), says: 'vCPUs' },
    { what: 'a hundred thousand vCPUs', xml: aDomainXml({ vcpus: 100_000 }), says: 'vCPUs.*100000' },
  ])('$what is refused as invalid, and the message says so', ({ xml, says }) => {
    const error = refusal(xml);
    expect(error.code).toBe('invalid');
    expect(describeError(error)).toMatch(new RegExp(says, 'u'));
  });

  test('the size is limited in bytes, not in characters, and the limit itself is accepted', () => {
    const filled = (text: string, bytes: number): string => {
      const rest = bytes - Buffer.byteLength(aDomainXml({ uuid: aVmId(1), extra: '<title></title>' }));
      return aDomainXml({ uuid: aVmId(1), extra: `<title>${text.repeat(rest / Buffer.byteLength(text))}</title>` });
    };
    expect(parseDomainXml(filled('x', XML_MAX_BYTES)).name).toBe('guest');
    expect(refusal(filled('x', XML_MAX_BYTES + 1))).toMatchObject({ code: 'too-large', details: { maxBytes: XML_MAX_BYTES } });
    const wide = aDomainXml({ extra: `<title>${'☃'.repeat(XML_MAX_BYTES / 2)}</title>` });
    expect(wide.length).toBeLessThan(XML_MAX_BYTES);
    expect(refusal(wide).code).toBe('too-large');
  });
});

describe('hostile input', () => {
  const depth = (open: string, close: string): string => {
    const count = Math.floor((XML_MAX_BYTES - 1_000) / (open.length + close.length));
    return open.repeat(count) + close.repeat(count);
  };
  const many = (text: string): string => text.repeat(Math.floor((XML_MAX_BYTES - 1_000) / text.length));
  const attributes = (): string => Array.from({ length: 7_000 }, (_, index) => `a${index}='${index}'`).join(' ').slice(0, XML_MAX_BYTES - 1_000);

  test('elements are nested 64 deep at most, and the refusal says where', () => {
    const nested = (depth: number): string => aDomainXml({ extra: `<metadata>${'<a>'.repeat(depth - 2)}${'</a>'.repeat(depth - 2)}</metadata>` });
    expect(parseDomainXml(nested(64)).name).toBe('guest');
    expect(describeError(refusal(nested(65)))).toMatch(/nested too deeply.*line 7/u);
  });

  test.each([
    { what: 'deep nesting', xml: aDomainXml({ extra: depth('<a>', '</a>') }) },
    { what: 'deep nesting of what is read', xml: aDomainXml({ extra: depth('<description>', '</description>') }) },
    { what: 'a deep name', xml: aDomainXml({ name: depth('<b>', '</b>') }) },
    { what: 'deep nesting that is never closed', xml: `<domain type='kvm'>${many('<a>')}` },
    { what: 'deep nesting just permitted, sixty times', xml: aDomainXml({ devices: `${'<a>'.repeat(60)}${'</a>'.repeat(60)}`.repeat(60) }) },
    { what: 'many namespaces', xml: aDomainXml({ extra: depth("<a xmlns='u'>", '</a>') }) },
    { what: 'many opening brackets', xml: many('<') },
    { what: 'many ampersands', xml: aDomainXml({ extra: many('&') }) },
    { what: 'many entities', xml: aDomainXml({ extra: many('&lt;') }) },
    { what: 'many attributes', xml: aDomainXml({ extra: `<a ${attributes()}/>` }) },
    { what: 'many comments', xml: aDomainXml({ extra: many('<!---->') }) },
    { what: 'an open comment', xml: aDomainXml({ extra: many('<!--') }) },
    { what: 'many processing instructions', xml: aDomainXml({ extra: many('<?a b?>') }) },
    { what: 'many empty elements', xml: aDomainXml({ devices: many('<disk/>') }) },
    { what: 'spaces in a tag', xml: `<domain ${many(' ')}` },
    { what: 'many entity definitions', xml: `<!DOCTYPE domain [${many('<!ENTITY a "&a;&a;">')}]>${aDomainXml()}` },
    { what: 'an open DOCTYPE', xml: `<!DOCTYPE ${many('[<!')}` },
  ])('$what is read or refused, and quickly, by every function', ({ xml }) => {
    const identity = { uuid: aVmId(1), name: aVmName('other') };
    for (const work of [() => void parseDomainXml(xml), () => void withIdentity(xml, identity), () => void withConsoleLog(xml, '/log')]) {
      expect(processorMs(() => void fails(work))).toBeLessThan(HOSTILE_LIMIT_MS);
    }
  });

  const fragment = fc.oneof(
    fc.constantFrom('<domain', " type='kvm'", '>', '/>', '</domain>', '<name>', '</name>', '<uuid>', '</uuid>', '<memory unit="', '">', '</memory>', '<vcpu>'),
    fc.constantFrom('<!DOCTYPE domain [', '<!ENTITY a "b">', ']>', '<![CDATA[', ']]>', '<!--', '-->', '<?xml version="1.0"?>', '&a;', '&#0;', '&#xD800;', '&lt;', 'xmlns:q='),
    anyText(20),
    fc.integer().map(String),
  );

  test('arbitrary text ends in facts or in a refusal, never in another error', () => {
    const text = fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join(''));
    fc.assert(fc.property(text, (xml) => void fails(() => parseDomainXml(xml))), { numRuns: RUNS });
  });

  test('a definition with one piece replaced ends in facts that a document can hold, or in a refusal', () => {
    const damaged = fc.tuple(fc.nat(LIBVIRT_DOMAIN.length), fc.nat(30), fragment);
    fc.assert(
      fc.property(damaged, ([at, length, piece]) => {
        const xml = LIBVIRT_DOMAIN.slice(0, at) + piece + LIBVIRT_DOMAIN.slice(at + length);
        if (fails(() => parseDomainXml(xml)) !== 'accepted') return;
        const facts = parseDomainXml(xml);
        expect(facts.name).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u);
        expect(Number.isSafeInteger(facts.memoryMib) && facts.memoryMib >= 1).toBe(true);
        expect(Number.isSafeInteger(facts.vcpus) && facts.vcpus >= 1).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('withIdentity', () => {
  const identity = { uuid: aVmId(7), name: aVmName('renamed') };

  test('name and UUID are replaced and every other fact stays', () => {
    const before = parseDomainXml(LIBVIRT_DOMAIN);
    const changed = withIdentity(LIBVIRT_DOMAIN, identity);
    expect(parseDomainXml(changed)).toEqual({ ...before, ...identity });
    expect(changed).toContain("username=\"libvirt\"");
    expect(changed).toContain('<currentMemory unit="KiB">2097152</currentMemory>');
  });

  test('a definition without UUID gets one', () => {
    const before = parseDomainXml(aDomainXml({ uuid: null }));
    expect(before.uuid).toBeUndefined();
    expect(parseDomainXml(withIdentity(aDomainXml({ uuid: null }), identity))).toEqual({ ...before, ...identity });
  });

  test('comments, special characters and namespaces inside survive', () => {
    const extra = "<metadata><app:x xmlns:app='urn:app' note='a &lt; &quot;b&quot; &amp; c'>1 &lt; 2</app:x></metadata><!-- kept -->";
    const changed = withIdentity(aDomainXml({ extra }), identity);
    expect(changed).toContain('<!-- kept -->');
    expect(changed).toContain('1 &lt; 2');
    expect(withIdentity(changed, identity)).toBe(changed);
  });

  test('what is no domain is refused', () => {
    expect(fails(() => withIdentity('<network/>', identity))).toBe('invalid');
  });
});

describe('withConsoleLog', () => {
  const logged = (devices: string): string => withConsoleLog(`<domain type='kvm'><name>x</name><memory>4096</memory><devices>${devices}</devices></domain>`, '/var/log/x.log');

  test('the first serial console is logged, and the others are not', () => {
    const xml = logged("<serial type='pty'><target port='0'/></serial><serial type='pty'><target port='1'/></serial>");
    expect(xml).toContain('<serial type="pty"><target port="0"/><log file="/var/log/x.log" append="on"/></serial><serial type="pty"><target port="1"/></serial>');
  });

  test('a domain with a console and no serial port has its console logged', () => {
    expect(logged("<console type='pty'/>")).toContain('<console type="pty"><log file="/var/log/x.log" append="on"/></console>');
  });

  test('a definition that logs elsewhere, or has no console, is left as it is', () => {
    expect(withConsoleLog(LIBVIRT_DOMAIN, '/other')).toBe(LIBVIRT_DOMAIN);
    const bare = "<domain type='kvm'><name>x</name></domain>";
    expect(withConsoleLog(bare, '/other')).toBe(bare);
  });

  test('every other fact stays', () => {
    const xml = aDomainXml({ uuid: aVmId(1), devices: "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>" });
    expect(parseDomainXml(withConsoleLog(xml, '/log'))).toEqual(parseDomainXml(xml));
    expect(withConsoleLog(xml, '/log')).not.toBe(xml);
  });
});

test("a running domain's screen is known once its port is chosen, and its cards in their order", () => {
  const running = (graphics: string): string => aDomainXml({ devices: `${graphics}<interface type='bridge'><mac address='52:54:00:00:00:0B'/></interface><interface type='user'><mac address='52:54:00:00:00:0a'/></interface>` });
  const listening = "<graphics type='spice' port='5800'/><graphics type='vnc' port='5901' autoport='yes' listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics>";
  expect(readLiveDevices(running(listening))).toEqual({ macs: ['52:54:00:00:00:0b', '52:54:00:00:00:0a'], vnc: { listen: '0.0.0.0', port: 5_901 } });
  for (const none of ['', "<graphics type='vnc' port='-1' autoport='yes'/>", "<graphics type='vnc' socket='/run/x'/>"]) expect(readLiveDevices(running(none)).vnc).toBeNull();
});

describe('MAC addresses', () => {
  const cards = "<interface type='bridge'><source bridge='vmbr5'/></interface><interface type='user'/><interface type='bridge'><mac address=''/><source bridge='vmbr6'/></interface>";

  test('the interfaces that one is chosen for have it, and the others stay as they are', () => {
    const xml = aDomainXml({ devices: cards });
    const given = withMacAddresses(xml, new Map([[0, '52:54:00:00:00:01'], [2, '52:54:00:00:00:02']]));
    expect(parseDomainXml(given).networks.map(({ mac }) => mac)).toEqual(['52:54:00:00:00:01', '', '52:54:00:00:00:02']);
    expect({ ...parseDomainXml(given), networks: [] }).toEqual({ ...parseDomainXml(xml), networks: [] });
  });

  test('without one to be given the definition stays as it was written', () => {
    const xml = aDomainXml({ devices: cards });
    expect(withMacAddresses(xml, new Map())).toBe(xml);
  });
});
