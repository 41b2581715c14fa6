import { z } from 'zod';
import type { vmMetaView, vmTagsView, VmView } from '../common/view/vm.ts';
import { ClientError, toClientError } from './client-error.ts';
import type { CallOptions } from './connection.ts';
import type { Given } from './operation.ts';
import { VM } from './operations/vm.ts';
import { parseArguments } from './parse-arguments.ts';
import { ServiceClient } from './service-client.ts';
import type { WaitOptions } from './wait-for.ts';

const restingState = z.enum(['start', 'stop', 'disable', 'fail']);
/** The states in which a VM can stay. */
export type RestingVmState = z.infer<typeof restingState>;

/** What a command answers: a sentence for people. */
type Done = Promise<{ message: string }>;

/**
 * Virtual machines. `vm` is a VM's name or UUID, exactly. A command that is answered is written down, and the nodes carry it out; `wait` lets
 * the API answer when that is done or has failed, after at most ten minutes. Every method throws ClientError only: status 404 for a
 * reading method, 510 for a command, when there is no such VM; 510 when the API refuses or fails, with the reason as message.
 */
export class VmClient extends ServiceClient {
  /** The VMs by name. `limit` is a regular expression found anywhere in the name, or a whole UUID; filters combine, `negate` turns each round. */
  list(filter: Given<typeof VM.list> = {}, options?: CallOptions): Promise<VmView[]> {
    return this.connection.call(VM.list, filter, options);
  }

  /** One VM with its definition, devices and counters; memory in MiB. */
  get(vm: string, options?: CallOptions): Promise<VmView> {
    return this.connection.call(VM.get, { vm }, options);
  }

  /**
   * Makes a VM of a libvirt domain definition (at most 100,000 bytes), which is off then. Its networks must be there, and its volumes too:
   * those that are not are created with the sizes in `create_volumes`, `20G` for each of them, or `vda:20G` for that of one disk.
   * A node is chosen when none is named. `migration_max_downtime` in milliseconds. 510: the definition is refused, or name or UUID are taken.
   */
  define(xml: string, settings: Given<typeof VM.define, 'xml'> = {}, options?: CallOptions): Done {
    return this.connection.call(VM.define, { ...settings, xml }, options);
  }

  /** Makes a VM from a template. The API cannot yet, and answers 510. */
  createFromTemplate(vm: string, settings: Given<typeof VM.createFromTemplate, 'vm'>, options?: CallOptions): Done {
    return this.connection.call(VM.createFromTemplate, { ...settings, vm }, options);
  }

  /** Replaces the definition, which a running VM takes over with its next start, or at once with `restart`; `create_volumes` as in define(). */
  modify(vm: string, xml: string, how: Given<typeof VM.modify, 'vm' | 'xml'> = {}, options?: CallOptions): Done {
    return this.connection.call(VM.modify, { ...how, vm, xml }, options);
  }

  /** Stops the VM by force and forgets it; with `delete_disks` removes its volumes too. Answers when it is gone. */
  remove(vm: string, how: { delete_disks?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.remove, { ...how, vm }, options);
  }

  /** The VM's state in one word. What was asked shows at once; `settled` of get() says when it is true. */
  state(vm: string, options?: CallOptions): Promise<{ name: string; state: string }> {
    return this.connection.call(VM.state, { vm }, options);
  }

  /** Starts the VM. */
  start(vm: string, how: { wait?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setState, { ...how, vm, state: 'start' }, options);
  }

  /** Shuts the guest down and starts it again. */
  restart(vm: string, how: { wait?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setState, { ...how, vm, state: 'restart' }, options);
  }

  /** Asks the guest to shut down; one that does not obey is stopped after the time limit of its node (90 s). */
  shutdown(vm: string, how: { wait?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setState, { ...how, vm, state: 'shutdown' }, options);
  }

  /** Stops the VM by force, as if its power was cut. */
  stop(vm: string, how: { wait?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setState, { ...how, vm, state: 'stop' }, options);
  }

  /** Takes a VM that is off out of use; with `force` stops it first. */
  disable(vm: string, how: { force?: boolean | undefined; wait?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setState, { ...how, vm, state: 'disable' }, options);
  }

  /** Where the VM is, and where it was migrated from: empty when it is at home. */
  node(vm: string, options?: CallOptions): Promise<{ name: string; node: string; last_node: string }> {
    return this.connection.call(VM.node, { vm }, options);
  }

  /** Moves the VM to another node for a while; unmigrate brings it home. A node is chosen when none is named. With `force_live` fails rather than shutting it down. */
  migrate(vm: string, how: Given<typeof VM.setNode, 'vm' | 'action'> = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setNode, { ...how, vm, action: 'migrate' }, options);
  }

  /** Brings a migrated VM back to its home. 510: it is at home. */
  unmigrate(vm: string, how: { force_live?: boolean | undefined; wait?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setNode, { ...how, vm, action: 'unmigrate' }, options);
  }

  /** Moves the VM to another node for good. */
  move(vm: string, how: Given<typeof VM.setNode, 'vm' | 'action' | 'permanent'> = {}, options?: CallOptions): Done {
    return this.connection.call(VM.setNode, { ...how, vm, action: 'move' }, options);
  }

  /** Lets a VM that is on its way stay where it is. 510: it is not, or too far. */
  abortMigration(vm: string, options?: CallOptions): Done {
    return this.connection.call(VM.setNode, { vm, action: 'abort' }, options);
  }

  /** The VM's rules: where it may run, how a node is chosen, how it moves. */
  meta(vm: string, options?: CallOptions): Promise<z.output<typeof vmMetaView>> {
    return this.connection.call(VM.meta, { vm }, options);
  }

  /** Changes rules. What is not given stays as it is, null clears. `migration_max_downtime` in milliseconds. 510: nothing is given. */
  setMeta(vm: string, changes: Given<typeof VM.setMeta, 'vm'>, options?: CallOptions): Done {
    return this.connection.call(VM.setMeta, { ...changes, vm }, options);
  }

  /** The VM's tags. */
  tags(vm: string, options?: CallOptions): Promise<z.output<typeof vmTagsView>> {
    return this.connection.call(VM.tags, { vm }, options);
  }

  /** Adds a tag of letters, digits, dots, dashes and underscores, at most 64; a protected one cannot be removed. */
  addTag(vm: string, tag: string, how: { protected?: boolean | undefined } = {}, options?: CallOptions): Done {
    return this.connection.call(VM.changeTag, { ...how, vm, tag, action: 'add' }, options);
  }

  /** Removes a tag. 510: it is protected, or not there. */
  removeTag(vm: string, tag: string, options?: CallOptions): Done {
    return this.connection.call(VM.changeTag, { vm, tag, action: 'remove' }, options);
  }

  /** Renames a VM that is off. 510: it is not off, or the name is taken. */
  rename(vm: string, newName: string, options?: CallOptions): Done {
    return this.connection.call(VM.rename, { vm, new_name: newName }, options);
  }

  /** The last lines of the VM's serial console: 10 unless told otherwise, at most 5,000. */
  console(vm: string, how: { lines?: number | undefined } = {}, options?: CallOptions): Promise<{ name: string; data: string }> {
    return this.connection.call(VM.console, { ...how, vm }, options);
  }

  /** The libvirt domain definition as it was given. */
  definition(vm: string, options?: CallOptions): Promise<string> {
    return this.connection.call(VM.definition, { vm }, options);
  }

  /** Frees the storage locks of a VM that runs nowhere. */
  freeLocks(vm: string, options?: CallOptions): Done {
    return this.connection.call(VM.freeLocks, { vm }, options);
  }

  /**
   * Waits until the VM is in this state, or one of these, and stays in it: nothing that was asked of it is still on its way.
   * @returns the VM as it was then.
   * @throws ClientError 'outcome' when it failed and `fail` was not waited for, 'timeout' after the limit, 'answer' with 404 when it is gone.
   */
  async waitVm(vm: string, states: RestingVmState | readonly RestingVmState[], options: WaitOptions<VmView> = {}): Promise<VmView> {
    try {
      const wanted: readonly string[] = parseArguments(z.array(restingState).min(1), typeof states === 'string' ? [states] : states);
      const isDone = (seen: VmView): boolean => {
        if (!seen.settled) return false;
        if (seen.state === 'fail' && !wanted.includes('fail')) throw new ClientError('outcome', 'the VM failed', { details: [`vm: ${seen.name}`, `why: ${seen.failed_reason}`] });
        return wanted.includes(seen.state);
      };
      const wait = { what: `VM ${vm}: ${wanted.join(' or ')}`, filter: { kinds: ['vm' as const], id: vm }, look: (signal: AbortSignal) => this.get(vm, { signal }), isDone };
      const { waitFor } = await import('./wait-for.ts');
      return await waitFor(this.connection, wait, options);
    } catch (error) {
      throw toClientError(error);
    }
  }
}
