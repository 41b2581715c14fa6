/**
 * Runs an example: `PVC_TOKEN=… node run-example.js ENDPOINT batch NAME…`, or `… ENDPOINT network VNI NAME NAME`.
 * `PVC_CA` may have the certificate authority to trust, as PEM text. The VMs have 256 MiB and no disk.
 */
import { ClientError } from '../client-error.ts';
import { Connection } from '../connection.ts';
import { VmClient } from '../vm-client.ts';
import { batchCreate } from './batch-create.ts';
import { twoVmsAndANetwork } from './two-vms-and-a-network.ts';

/** Guests without a disk are started within seconds, or never. */
const LIMIT_MS = 120_000;

function definition(name: string, devices = ''): string {
  return `<domain type="kvm"><name>${name}</name><memory unit="MiB">256</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os><devices>${devices}</devices></domain>`;
}

async function main(): Promise<number> {
  const [endpoint = '', example = '', ...rest] = process.argv.slice(2);
  const { PVC_TOKEN: token = '', PVC_CA: ca } = process.env;
  try {
    const connection = new Connection(endpoint, token, { ca });
    if (example === 'batch') {
      const created = await batchCreate(new VmClient(connection), rest.map((name) => ({ name, xml: definition(name) })), LIMIT_MS);
      for (const one of created) process.stdout.write('vm' in one ? `${one.name} runs on ${one.vm.node}\n` : `${one.name}: ${[one.error, ...one.details].join('; ')}\n`);
      return created.every((one) => 'vm' in one) ? 0 : 1;
    }
    const [vni = '', first = '', second = ''] = rest;
    const network = { vni: Number(vni), description: `private-${vni}`, ip4Network: '10.99.0.0/24', ip4Gateway: '10.99.0.1', dhcp4: ['10.99.0.100', '10.99.0.199'] as const };
    for (const vm of await twoVmsAndANetwork(connection, network, { names: [first, second], definition, limitMs: LIMIT_MS })) process.stdout.write(`${vm.name} runs on ${vm.node}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    process.stderr.write(`${[error.message, ...error.details].join('\n  ')}\n`);
    return 1;
  }
}

process.exitCode = await main();
