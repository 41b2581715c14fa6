/**
 * `labctl start|stop|restart|status [SERVICE]`, inside a host: what systemctl is on a real one. start and stop return when it is
 * done; status exits 3 when the service is not active, as systemctl does.
 */
import { describeError } from '../common/errors.ts';
import { askSupervisor, CONTROL_SOCKET, controlRequest } from './control.ts';

/** systemctl's exit code of `is-active` for a unit that is not. */
const EXIT_NOT_ACTIVE = 3;

try {
  const [verb, service] = process.argv.slice(2);
  const request = controlRequest.parse(service === undefined ? { verb } : { verb, service });
  const services = await askSupervisor(CONTROL_SOCKET, request);
  if (request.verb === 'status') {
    for (const status of services) console.log(`${status.name} ${status.phase} ${status.pid ?? '-'} restarts=${status.restarts} ready=${status.ready}`);
    process.exitCode = services.every((status) => status.phase === 'active') ? 0 : EXIT_NOT_ACTIVE;
  }
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
