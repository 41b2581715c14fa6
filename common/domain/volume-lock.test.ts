import { describe, expect, test } from 'vitest';
import { nextVolumeLockStep } from './volume-lock.ts';

const LOCK = { client: 'client.7', cookie: 'auto 1', address: '10.0.0.1:0/7' };

describe('a volume that somebody wants to use', () => {
  test.each([
    ['that nobody has, is free', { locks: [], watchers: [] }, { kind: 'free' }],
    ['that a living client writes, is held', { locks: [LOCK], watchers: [LOCK.address] }, { kind: 'held', by: [LOCK.address] }],
    ['that a living client has open without a lock, is held', { locks: [], watchers: [LOCK.address] }, { kind: 'held', by: [LOCK.address] }],
    ['that one wrote and another has open, is held', { locks: [LOCK], watchers: ['10.0.0.2:0/8'] }, { kind: 'held', by: ['10.0.0.2:0/8'] }],
    ['that one client has open twice, is held by one', { locks: [], watchers: [LOCK.address, LOCK.address] }, { kind: 'held', by: [LOCK.address] }],
    ['whose lock is of a client that is gone, is taken from it', { locks: [LOCK], watchers: [] }, { kind: 'break', locks: [LOCK] }],
  ])('%s', (_, holders, step) => expect(nextVolumeLockStep(holders)).toEqual(step));
});
