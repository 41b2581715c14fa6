import { hypervisorContract } from '../../contract/hypervisor.ts';
import { libvirtMissing } from '../../support/libvirtd.ts';
import { libvirtFixture } from './fixture.ts';

hypervisorContract('libvirt with QEMU', libvirtFixture, libvirtMissing());
