import { z } from 'zod';
import { absolutePath, cephAccess, ipAddress, tcpPort } from '../common/config.ts';

/** The manual's example has the port as text. */
const port = z.union([tcpPort, z.string().regex(/^\d{1,5}$/u).transform(Number).pipe(tcpPort)]);

/** A coordinator: host name or address, ZooKeeper's port when it is not 2181. */
const coordinator = z.string().regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?$/u, 'must be a host, or host:port');

/** A token shorter than this can be guessed. */
const TOKEN_MIN_CHARS = 16;
/** The manual asks for more than 32 characters. */
const SECRET_KEY_MIN_CHARS = 32;

const authentication = z
  .strictObject({
    enabled: z.boolean(),
    secret_key: z.string().default(''),
    tokens: z.array(z.strictObject({ description: z.string().default(''), token: z.string() })).default([]),
  })
  .superRefine((value, context) => {
    if (!value.enabled) return;
    if (value.secret_key.length < SECRET_KEY_MIN_CHARS) {
      context.addIssue({ code: 'custom', path: ['secret_key'], message: `must have at least ${SECRET_KEY_MIN_CHARS} characters` });
    }
    if (value.tokens.length === 0) context.addIssue({ code: 'custom', path: ['tokens'], message: 'must name at least one token' });
    value.tokens.forEach((entry, index) => {
      if (entry.token.length < TOKEN_MIN_CHARS) {
        context.addIssue({ code: 'custom', path: ['tokens', index, 'token'], message: `must have at least ${TOKEN_MIN_CHARS} characters` });
      }
    });
  });

const ssl = z
  .strictObject({ enabled: z.boolean(), cert_file: z.string().default(''), key_file: z.string().default('') })
  .superRefine((value, context) => {
    if (!value.enabled) return;
    for (const key of ['cert_file', 'key_file'] as const) {
      if (!absolutePath.safeParse(value[key]).success) context.addIssue({ code: 'custom', path: [key], message: 'must be an absolute path' });
    }
  });

/** How the API reaches Ceph. */
const ceph = cephAccess.extend({
  /** What a call waits for an OSD or a monitor that does not answer; one that takes over from another that died answers earlier. Whole seconds: Ceph knows no others. */
  operation_timeout_s: z.int().min(1).max(300).default(15),
});

/** The whole of pvc-api.yaml, with the manual's keys and a few of our own that have defaults. */
export const apiConfig = z.strictObject({
  pvc: z.strictObject({
    /** Logs at level debug. */
    debug: z.boolean(),
    coordinators: z.array(coordinator).min(1),
    /** Addresses that the API listens on follow the primary; the session ends with a lost primary after this. */
    zookeeper_session_timeout_s: z.number().min(2).max(120).default(10),
    placement: z
      .strictObject({
        selector: z.enum(['mem', 'memprov', 'vcpus', 'load', 'vms']).default('mem'),
        /** Memory kept for each host itself. */
        reserve_mib: z.int().min(0).default(512),
      })
      .prefault({}),
    /** false: a cluster without Ceph. */
    enable_storage: z.boolean().default(false),
    ceph: ceph.prefault({}),
    api: z.strictObject({
      listen_address: ipAddress,
      listen_port: port.default(7370),
      authentication,
      ssl,
    }),
  }),
});

export type ApiConfig = z.infer<typeof apiConfig>;
