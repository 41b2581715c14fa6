import fc from 'fast-check';
import { expect, test } from 'vitest';
import { aDomainXml, aStatus, aVm } from '../../test/support/builders.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';
import { vmView } from '../../common/view/vm.ts';
import { presentVmDefinition, presentVmStatus, withCounters } from './vm.ts';

const DEVICES = `<disk type="file"><source file="/a"/><target dev="sda" bus="scsi"/></disk>
<disk type="file"><source file="/b"/><target dev="constructor" bus="scsi"/></disk>
<interface type="bridge"><mac address="52:54:00:AA:BB:01"/><source bridge="vmbr1"/></interface>
<interface type="bridge"><mac address="52:54:00:aa:bb:02"/><source bridge="vmbr2"/></interface>`;

const FIGURES: VmFigures = {
  cpuNs: [30, 20, 10],
  memory: { actual: 524_288, rss: 4_000 },
  disks: { sda: [1, 2, 3, 4] },
  interfaces: { '52:54:00:aa:bb:01': [1, 2, 3, 4, 5, 6, 7, 2 ** 64] },
  vnc: { listen: '0.0.0.0', port: 5_901 },
};

const textOf = (xml: string): string => JSON.stringify(presentVmDefinition(aVm({ xml })));

test('the counters of each device are its own, and those that nobody counts are 0', () => {
  const shown = JSON.parse(withCounters(textOf(aDomainXml({ devices: DEVICES })), FIGURES));
  expect(shown.disks).toMatchObject([
    { dev: 'sda', name: '/a', rd_req: 1, rd_bytes: 2, wr_req: 3, wr_bytes: 4 },
    { dev: 'constructor', rd_req: 0, rd_bytes: 0, wr_req: 0, wr_bytes: 0 },
  ]);
  expect(shown.networks).toMatchObject([
    { mac: '52:54:00:AA:BB:01', vni: '1', rd_bytes: 1, rd_packets: 2, rd_errors: 3, rd_drops: 4, wr_bytes: 5, wr_packets: 6, wr_errors: 7, wr_drops: 2 ** 64 },
    { mac: '52:54:00:aa:bb:02', rd_bytes: 0, wr_drops: 0 },
  ]);
});

test('figures take the place of older figures, and go when the guest does', () => {
  const plain = textOf(aDomainXml({ devices: DEVICES }));
  const once = withCounters(plain, FIGURES);
  expect(withCounters(withCounters(plain, { ...FIGURES, disks: { sda: [9, 9, 9, 9] } }), FIGURES)).toBe(once);
  expect(withCounters(once, undefined)).toBe(plain);
});

test('no text of a user is taken for a counter', () => {
  const counter = '"dev":"sda","rd_req":0,"rd_bytes":0,"wr_req":0,"wr_bytes":0';
  const text = fc.oneof(fc.string(), fc.constantFrom(counter, `\\${counter}`, '"', '\\', `x"${counter}`));
  fc.assert(
    fc.property(text, text, (description, name) => {
      const plain = { description, disks: [{ name, dev: 'sda', rd_req: 0, rd_bytes: 0, wr_req: 0, wr_bytes: 0 }] };
      const shown = JSON.parse(withCounters(JSON.stringify(plain), FIGURES));
      expect(shown).toEqual({ description, disks: [{ name, dev: 'sda', rd_req: 1, rd_bytes: 2, wr_req: 3, wr_bytes: 4 }] });
    }),
  );
});

test('a VM is shown with what its guest uses, and one that is off without', () => {
  const vm = aVm({ xml: aDomainXml({ devices: DEVICES }) });
  const on = vmView.parse({ ...presentVmStatus(vm, aStatus(), FIGURES), ...presentVmDefinition(vm) });
  expect(on).toMatchObject({ memory_stats: FIGURES.memory, vcpu_stats: { cpu_time: 30, user_time: 20, system_time: 10 }, vnc: { listen: '0.0.0.0', port: 5_901 } });
  const off = vmView.parse({ ...presentVmStatus(vm, undefined, undefined), ...presentVmDefinition(vm) });
  expect(off).toMatchObject({ memory_stats: {}, vcpu_stats: {}, vnc: { listen: null, port: null } });
});
