import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { Cached } from './cached.ts';

describe('what is kept', () => {
  function counter(clock: VirtualClock) {
    let calls = 0;
    let fails = false;
    const cached = new Cached({
      clock,
      maxAgeMs: 5_000,
      load: async () => {
        calls += 1;
        if (fails) throw new Error('no');
        return calls;
      },
    });
    return { cached, fail: (value: boolean) => (fails = value) };
  }

  test('is given to all who ask within the time, and then looked up anew', async () => {
    const clock = new VirtualClock();
    const { cached } = counter(clock);
    expect(await Promise.all([cached.get(), cached.get()])).toEqual([1, 1]);
    await clock.advance(4_999);
    expect(await cached.get()).toBe(1);
    await clock.advance(1);
    expect(await cached.get()).toBe(2);
  });

  test('is looked up anew after it was forgotten, and after a failure', async () => {
    const { cached, fail } = counter(new VirtualClock());
    expect(await cached.get()).toBe(1);
    cached.forget();
    fail(true);
    await expect(cached.get()).rejects.toThrow('no');
    fail(false);
    expect(await cached.get()).toBe(3);
  });
});
