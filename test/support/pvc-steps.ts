import type { Step } from './lab-pvc.ts';

/** Command lines that need nothing but a lab with storage. Each list is about things of its own, so all can be tried at the same time. */

export const NETWORK_STEPS: readonly Step[] = [
  ['network add 6 -d six -i 10.6.0.0/24 -g 10.6.0.1 --dhcp on --dhcp-start 10.6.0.100 --dhcp-end 10.6.0.199', /is added/u],
  ['network list --columns vni,description --format raw', /^6\tsix$/mu],
  ['network modify six --domain six.example'],
  ["network acl add six --in -d ssh -r 'tcp dport 22 accept'", /is rule 0/u],
  ['network acl list six', /tcp dport 22 accept/u],
  ["network acl modify six ssh -r 'tcp dport 23 accept'"],
  ['network acl info six ssh --columns rule --format raw', /^tcp dport 23 accept\n$/u],
  ['network dhcp add six 52:54:00:00:00:06 10.6.0.20 --hostname printer', /is reserved/u],
  ['network dhcp list six', /10\.6\.0\.20/u],
  ['network lease list six', /10\.6\.0\.20/u],
  ['network lease info six printer --columns ip --format raw', /^10\.6\.0\.20\n$/u],
  ['network info 6 --long', /six\.example(.|\n)*tcp dport 23 accept(.|\n)*printer/u],
  ['network acl remove six ssh --yes'],
  ['network dhcp remove six 52:54:00:00:00:06 --yes'],
  ['network remove six --yes'],
];

/** @param image a file with a raw image, which is read again into `image` with .back behind its name. */
export const volumeSteps = (image: string): readonly Step[] => [
  ['storage status', /health: HEALTH_/u],
  ['storage util', /^vms /mu],
  ['storage pool add fast 8 --replcfg copies=2,mincopies=1', /fast/u],
  ['storage pool list ^fast --columns name,copies --format raw', /^fast\t2\n$/u],
  ['storage pool set-pgs fast 16'],
  ['storage pool info fast', /^mincopies +1$/mu],
  ['storage volume add fast one 16M', /fast\/one is added/u],
  ['storage volume list --pool fast --columns name,size --format raw', /^one\t16777216\n$/u],
  ['storage volume resize fast one 32M'],
  ['storage volume scan fast one', /33554432/u],
  ['storage volume clone fast one two'],
  ['storage volume rename fast two three'],
  ['storage snapshot add fast one first'],
  ['storage snapshot rename fast one first before'],
  ['storage snapshot list --pool fast --columns volume,name --format raw', /^one\tbefore\n$/u],
  ['storage snapshot info fast one before', /32\.0 MiB/u],
  ['storage volume info fast one', /Snapshots\n.*\nbefore /u],
  ['storage snapshot download fast one before /dev/null --force', /fast\/one@before is in \/dev\/null, 32\.0 MiB/u],
  ['storage volume download fast one /dev/null --force', /fast\/one is in \/dev\/null, 32\.0 MiB/u],
  ['storage volume upload fast three /dev/zero --size 33554432', /fast\/three has the image of 33554432 bytes/u],
  [`storage snapshot download fast one before ${image}.snapshot`],
  ['storage snapshot rollback fast one before --yes'],
  ['storage snapshot remove fast one before --yes'],
  [`storage volume upload fast four ${image} --create`],
  [`storage volume download fast four ${image}.back`],
  ['storage volume remove fast three --yes'],
  ['storage pool remove fast --yes', /fast/u],
];

/** @param file a definition of a VM named spare with the volume vms/spare as its disk. */
export const definitionSteps = (file: string): readonly Step[] => [
  ['storage volume add vms spare 16M'],
  [`vm define ${file} --node hv3 --tag new`, /^VM spare is defined/u],
  ['vm list ^spare --columns name,state,node,tags --format raw', /^spare\tstop\thv3\tnew\n$/u],
  ['vm info spare', /vms\/spare/u],
  ['vm state spare --columns state --format raw', /^stop\n$/u],
  ['vm node spare --columns node --format raw', /^hv3\n$/u],
  ['vm edit spare --yes', /^/u, { env: { EDITOR: 'sed -i s,</name>,</name><title>edited</title>,' } }],
  ['vm dump spare', /<title>edited<\/title>/u],
  [`vm modify spare ${file}`],
  ['vm meta spare --profile small', /^profile +small$/mu],
  ['vm tag add spare web'],
  ['vm tag list spare --columns name --format raw', /^web$/mu],
  ['vm tag remove spare web'],
  ['vm locks spare'],
  ['vm rename spare other'],
  ['vm disable other', /disable/u],
  ['vm wait other disable', /disable/u],
  ['vm delete other --yes'],
];

/** @param connection URL of the API, a file with its token, and a folder for what `pvc` writes down. */
export const connectionSteps = ({ url, tokenFile, folder }: { url: string; tokenFile: string; folder: string }): readonly Step[] => {
  const given = { env: { XDG_CONFIG_HOME: folder, PVC_API_URL: '', PVC_API_TOKEN: '' } };
  return [
    [`connection add lab ${url} --token-file ${tokenFile}`, /used from now on/u, given],
    [`connection add other ${url} --token-file ${tokenFile}`, /is added/u, given],
    ['connection use other', /is used/u, given],
    ['connection list --columns name,current --format raw', /^lab\tfalse\nother\ttrue\n$/u, given],
    ['connection check', /^token +valid$/mu, given],
    ['connection remove lab', /is removed/u, given],
    ['vm list', /^NAME/u, given],
  ];
};

export const CLUSTER_STEPS: readonly Step[] = [
  ['cluster maintenance on'],
  ['cluster status', /^health +Maintenance/mu],
  ['cluster status', /^address +any of hv[123]$/mu],
  ['cluster maintenance off'],
  ['cluster primary --columns node --format raw', /^hv[123]\n$/u],
  ['cluster api', /"openapi"/u],
  ['node list --columns name,daemon,domains --format raw', /^hv1\trun\tready\nhv2\trun\tready\nhv3\trun\tready\n$/u],
  ['node info hv2', /^name +hv2$/mu],
  ['node state hv2', /^daemon +run$/mu],
  ['node log hv2 --lines 3', /\n/u],
  ['node wait hv2 --daemon-state run --domain-state ready', /^node hv2: run/u],
  ['task list --columns kind,target,state --format raw', /^flush\thv1\tSUCCESS$/mu],
  ['completion bash', /complete -F _pvc pvc/u],
  ['manual', /^\.TH PVC/u],
];
