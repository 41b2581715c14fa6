import { z } from 'zod';
import { serviceSpec } from './service.ts';

/** FOLDER/init.json: what host-init supervises. */
export const hostInitFile = z.strictObject({ services: z.array(serviceSpec) });
export type HostInitFile = z.infer<typeof hostInitFile>;
