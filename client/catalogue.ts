import { z } from 'zod';
import { ClientError } from './client-error.ts';
import type { CallOptions } from './connection.ts';
import { IDENTITY } from './operations/identity.ts';
import { faultLines, parseArguments } from './parse-arguments.ts';
import { ServiceClient } from './service-client.ts';

/** A path that every API with this service has, below its prefix. */
const SERVICE_PATHS = {
  identity: '/auth/login',
  cluster: '/status',
  node: '/node',
  vm: '/vm',
  network: '/network',
  task: '/task',
  storage: '/storage/ceph/volume',
} as const;

const serviceSchema = z.enum(['identity', 'cluster', 'node', 'vm', 'network', 'task', 'storage']);
export type Service = z.infer<typeof serviceSchema>;

const description = z.object({ openapi: z.string(), paths: z.record(z.string(), z.unknown()) });

/** Where the services of an API are: found in the API's own description, asked for once. */
export class Catalogue extends ServiceClient {
  #paths: ReadonlySet<string> | undefined;

  /** The endpoint of each service that the API has. @throws ClientError, also when it does not describe itself as this API does. */
  async endpoints(options?: CallOptions): Promise<Partial<Record<Service, string>>> {
    const paths = await this.#described(options);
    const { prefix, url } = this.connection.endpoint;
    return Object.fromEntries(serviceSchema.options.filter((service) => paths.has(`${prefix}${SERVICE_PATHS[service]}`)).map((service) => [service, url]));
  }

  /** The URL to construct the service's client with. @throws ClientError 'outcome' when the API has no such service. */
  async endpoint(service: Service, options?: CallOptions): Promise<string> {
    const endpoints = await this.endpoints(options);
    const found = endpoints[parseArguments(serviceSchema, service)];
    if (found === undefined) throw new ClientError('outcome', 'the API has no such service', { details: [`service: ${service}`, `endpoint: ${this.connection.endpoint.url}`] });
    return found;
  }

  async #described(options?: CallOptions): Promise<ReadonlySet<string>> {
    if (this.#paths === undefined) {
      const read = description.safeParse(await this.connection.call(IDENTITY.description, {}, options));
      if (!read.success) throw new ClientError('malformed', 'the API does not describe itself', { details: faultLines(read.error) });
      this.#paths = new Set(Object.keys(read.data.paths));
    }
    return this.#paths;
  }
}
