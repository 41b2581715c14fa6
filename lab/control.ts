import { connect } from 'node:net';
import { z } from 'zod';
import { AppError } from '../common/errors.ts';

/** Where a host's supervisor listens, as seen inside the host. */
export const CONTROL_SOCKET = '/run/lab/control.sock';

export const controlRequest = z.strictObject({
  verb: z.enum(['start', 'stop', 'restart', 'status']),
  service: z.string().optional(),
  /** Answer in lines of text, for labctl. */
  plain: z.boolean().optional(),
});
export type ControlRequest = z.infer<typeof controlRequest>;

const servicePhase = z.enum(['inactive', 'active', 'stopping', 'waiting-to-restart', 'failed']);
export type ServicePhase = z.infer<typeof servicePhase>;

const serviceStatus = z.strictObject({
  name: z.string(),
  phase: servicePhase,
  pid: z.int().nullable(),
  restarts: z.int(),
  ready: z.boolean(),
});
export type ServiceStatus = z.infer<typeof serviceStatus>;

const controlReply = z.discriminatedUnion('ok', [
  z.strictObject({ ok: z.literal(true), services: z.array(serviceStatus) }),
  z.strictObject({ ok: z.literal(false), message: z.string() }),
]);
export type ControlReply = z.infer<typeof controlReply>;

/** The reply as labctl reads it: `ok`, `inactive` or the refusal, then a line for each service. */
export function plainReply(reply: ControlReply): string {
  if (!reply.ok) return reply.message.replaceAll('\n', ' ');
  const lines = reply.services.map((status) => `${status.name} ${status.phase} ${status.pid ?? '-'} restarts=${status.restarts} ready=${status.ready}`);
  return [reply.services.every((status) => status.phase === 'active') ? 'ok' : 'inactive', ...lines].join('\n');
}

/**
 * Asks a host's supervisor; one line of JSON each way.
 * @throws AppError 'unavailable' when it does not listen, 'component' with its refusal.
 */
export async function askSupervisor(socketPath: string, request: ControlRequest): Promise<ServiceStatus[]> {
  const text = await exchange(socketPath, `${JSON.stringify(request)}\n`);
  const reply = controlReply.parse(JSON.parse(text));
  if (!reply.ok) throw new AppError('component', reply.message, { request });
  return reply.services;
}

function exchange(socketPath: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ path: socketPath });
    socket.once('connect', () => socket.end(line));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('close', () => {
      if (chunks.length > 0) resolve(Buffer.concat(chunks).toString('utf8'));
      else reject(new AppError('unavailable', 'the host went down', { socketPath }));
    });
    socket.once('error', (error) => reject(new AppError('unavailable', 'the host does not answer', { socketPath, text: error.message })));
  });
}
