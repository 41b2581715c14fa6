/** The supervisor of a lab host's services, started by host-init.sh inside the host. Argument: the host's folder. */
import { readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { systemClock } from '../common/clock.ts';
import { AppError, describeError } from '../common/errors.ts';
import { CONTROL_SOCKET, controlRequest, plainReply, type ControlReply, type ControlRequest, type ServiceStatus } from './control.ts';
import { hostInitFile, type HostInitFile } from './host-init-file.ts';
import { Service } from './service.ts';

class Supervisor {
  readonly #services: readonly Service[];

  constructor(folder: string, file: HostInitFile) {
    this.#services = file.services.map(
      (spec) =>
        new Service(spec, {
          clock: systemClock,
          logFile: path.join(folder, 'log', `${spec.name}.log`),
          ended: (name) => this.#stopBound(name),
          say,
        }),
    );
  }

  async boot(): Promise<void> {
    const wanted = this.#services.filter((service) => service.spec.start === 'boot');
    const results = await Promise.allSettled(wanted.map((service) => service.start()));
    for (const result of results) if (result.status === 'rejected') say(describeError(result.reason));
  }

  #stopBound(name: string): void {
    for (const service of this.#services.filter((candidate) => candidate.spec.boundTo === name)) {
      service.stop().catch((error: unknown) => say(describeError(error)));
    }
  }

  async handle(request: ControlRequest): Promise<ControlReply> {
    const chosen = this.#services.filter((service) => request.service === undefined || service.spec.name === request.service);
    if (chosen.length === 0) throw new AppError('not-found', 'no such service', { service: request.service });
    if (request.verb !== 'status') {
      const [service, ...others] = chosen;
      if (service === undefined || others.length > 0) throw new AppError('invalid', 'name one service');
      await change(service, request.verb);
    }
    const services: ServiceStatus[] = await Promise.all(chosen.map(async (service) => ({ ...service.status, ready: await service.ready() })));
    return { ok: true, services };
  }
}

async function change(service: Service, verb: 'start' | 'stop' | 'restart'): Promise<void> {
  if (verb !== 'start') await service.stop();
  if (verb === 'stop') return;
  await service.start();
  await service.untilReady();
}

function say(text: string): void {
  console.log(`${new Date(systemClock.nowMs()).toISOString()} ${text}`);
}

async function serve(supervisor: Supervisor, socket: Socket): Promise<void> {
  for await (const line of createInterface({ input: socket })) {
    socket.end(await reply(supervisor, line));
    return;
  }
}

async function reply(supervisor: Supervisor, line: string): Promise<string> {
  let plain = false;
  try {
    const request = controlRequest.parse(JSON.parse(line));
    plain = request.plain === true;
    return render(await supervisor.handle(request), plain);
  } catch (error) {
    return render({ ok: false, message: describeError(error) }, plain);
  }
}

const render = (answer: ControlReply, plain: boolean): string => (plain ? plainReply(answer) : JSON.stringify(answer));

async function main(): Promise<void> {
  const folder = z.string().parse(process.argv[2]);
  const text: unknown = JSON.parse(await readFile(path.join(folder, 'init.json'), 'utf8'));
  const supervisor = new Supervisor(folder, hostInitFile.parse(text));
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', (error) => say(error.message));
    serve(supervisor, socket).catch((error: unknown) => say(describeError(error)));
  });
  server.listen(CONTROL_SOCKET);
  await supervisor.boot();
}

await main();
