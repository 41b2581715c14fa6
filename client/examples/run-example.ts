/**
 * Runs an example: `PVC_TOKEN=… node run-example.js ENDPOINT EXAMPLE …`, where EXAMPLE is one of
 * `batch NAME…`, `network VNI NAME NAME`, `snapshot VM SNAPSHOT FILE`, `restore POOL VOLUME FILE NAME`.
 * `PVC_CA` may have the certificate authority to trust, as PEM text. `PVC_DOMAIN_TYPE=qemu` is for nodes without KVM. The VMs have 256 MiB, and no
 * disk unless it is restored.
 */
import { ClientError } from '../client-error.ts';
import { Connection } from '../connection.ts';
import { VmClient } from '../vm-client.ts';
import { batchCreate } from './batch-create.ts';
import { restoreFromImage } from './restore-from-image.ts';
import { snapshotAndDownload } from './snapshot-and-download.ts';
import { twoVmsAndANetwork } from './two-vms-and-a-network.ts';

/** Guests without a disk are started within seconds, or never. */
const LIMIT_MS = 120_000;

const DOMAIN_TYPE = process.env['PVC_DOMAIN_TYPE'] ?? 'kvm';

function definition(name: string, devices = ''): string {
  return `<domain type="${DOMAIN_TYPE}"><name>${name}</name><memory unit="MiB">256</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os><devices>${devices}</devices></domain>`;
}

/** @returns whether all went well. @throws ClientError. */
async function run(connection: Connection, example: string, given: readonly string[]): Promise<boolean> {
  switch (example) {
    case 'batch': {
      const created = await batchCreate(new VmClient(connection), given.map((name) => ({ name, xml: definition(name) })), LIMIT_MS);
      for (const one of created) say('vm' in one ? `${one.name} runs on ${one.vm.node}` : `${one.name}: ${[one.error, ...one.details].join('; ')}`);
      return created.every((one) => 'vm' in one);
    }
    case 'network': {
      const [vni = '', first = '', second = ''] = given;
      const network = { vni: Number(vni), description: `private-${vni}`, ip4Network: '10.99.0.0/24', ip4Gateway: '10.99.0.1', dhcp4: ['10.99.0.100', '10.99.0.199'] as const };
      for (const vm of await twoVmsAndANetwork(connection, network, { names: [first, second], definition, limitMs: LIMIT_MS })) say(`${vm.name} runs on ${vm.node}`);
      return true;
    }
    case 'snapshot': {
      const [vm = '', snapshot = '', file = ''] = given;
      const { pool, volume, sizeBytes } = await snapshotAndDownload(connection, { vm, snapshot, file });
      say(`${pool}/${volume} is in ${file}: ${sizeBytes} bytes`);
      return true;
    }
    case 'restore': {
      const [pool = '', volume = '', file = '', name = ''] = given;
      const vm = await restoreFromImage(connection, { name, pool, volume, file }, { definition, limitMs: LIMIT_MS });
      say(`${vm.name} runs on ${vm.node}`);
      return true;
    }
    default:
      throw new ClientError('arguments', 'there is no such example', { details: ['batch, network, snapshot or restore'] });
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<number> {
  const [endpoint = '', example = '', ...given] = process.argv.slice(2);
  const { PVC_TOKEN: token = '', PVC_CA: ca } = process.env;
  try {
    return (await run(new Connection(endpoint, token, { ca }), example, given)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    process.stderr.write(`${[error.message, ...error.details].join('\n  ')}\n`);
    return 1;
  }
}

process.exitCode = await main();
