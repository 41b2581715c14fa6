import { hypervisorContract } from '../../contract/hypervisor.ts';
import { libvirtFixture } from './fixture.ts';

hypervisorContract('libvirt with QEMU', libvirtFixture);
