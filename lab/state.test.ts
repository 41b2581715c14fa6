import { expect, test } from 'vitest';
import { coordinatorCount, labHosts, labPlace } from './state.ts';

test('the number of coordinators is 1, 3 or 5, and never more than the nodes', () => {
  expect([1, 2, 3, 4, 5, 6, 7].map(coordinatorCount)).toEqual([1, 1, 3, 3, 5, 5, 5]);
});

test('labs in different folders have different namespaces, of which none begins with the name of another', () => {
  const places = [{}, { PVC_LAB_DIR: '/srv/a' }, { PVC_LAB_DIR: '/srv/b' }].map((env) => `${labPlace(env).prefix}-`);
  for (const one of places) expect(places.filter((other) => other.startsWith(one))).toEqual([one]);
});

test('a lab with its own folder keeps its cache there unless told otherwise', () => {
  expect(labPlace({ PVC_LAB_DIR: '/srv/a' }).cache).toBe('/srv/a/cache');
  expect(labPlace({ PVC_LAB_DIR: '/srv/a', PVC_LAB_CACHE: '/srv/c' }).cache).toBe('/srv/c');
});

test('a lab cannot live where a host has a file system of its own', () => {
  for (const directory of ['/run/lab', '/', '/dev/shm/lab', '/srv/with space']) {
    expect(() => labPlace({ PVC_LAB_DIR: directory })).toThrow('the lab cannot live there');
  }
  expect(labPlace({ PVC_LAB_DIR: '/running' }).directory).toBe('/running');
});

test('seven hosts have seven addresses, none of them the floating one or the one of the switch', () => {
  const addresses = labHosts(labPlace({}), 7).map((host) => host.address);
  expect(new Set([...addresses, '10.77.0.1', '10.77.0.10']).size).toBe(9);
});
