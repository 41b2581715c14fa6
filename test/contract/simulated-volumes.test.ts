import { SimulatedVolumes } from '../support/simulated-volumes.ts';
import { guestVolumesContract } from './guest-volumes.ts';

guestVolumesContract('simulated', async () => {
  const volumes = new SimulatedVolumes();
  return {
    volumes,
    locks: volumes,
    put: async (ref, sizeBytes) => volumes.put(ref, sizeBytes),
    open: async (ref) => {
      const close = volumes.open(ref, '127.0.0.1:0/7');
      return async () => close();
    },
    leaveLock: async (ref) => volumes.leaveLock(ref, { client: 'client.7', cookie: 'auto 1', address: '127.0.0.1:0/7' }),
    stop: async () => undefined,
  };
});
