import { expect, test } from 'vitest';
import { AppError } from '../../common/errors.ts';
import { isPeerStillEnding } from './outgoing-migration.ts';

const refused = (libvirtCode: number, libvirtMessage: string): AppError => new AppError('component', 'libvirt refused the call', { libvirtCode, libvirtMessage });

test.each([
  { what: 'removes the guest that has left it', error: refused(9, "operation failed: domain 'web1' is already being removed"), found: true },
  { what: 'confirms that the guest has left it', error: refused(55, "Requested operation is not valid: another migration job is already running for domain 'web1'"), found: true },
  { what: 'has another guest of that name', error: refused(9, "operation failed: domain 'web1' already exists with uuid 1"), found: false },
  { what: 'was lost', error: new AppError('unavailable', 'the connection was lost'), found: false },
])('a peer that $what: $found', ({ error, found }) => expect(isPeerStillEnding(error)).toBe(found));
