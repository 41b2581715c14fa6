import { describe, expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { silentLogger } from './log.ts';
import type { Command } from './process.ts';
import { notifyAssignments, notifyCommand, SdNotify, watchdogIntervalMs } from './sd-notify.ts';

function aHeldClock(): { clock: Clock; fire: () => void; waiting: () => number[] } {
  let timers: { delayMs: number; callback: () => void }[] = [];
  return {
    clock: {
      nowMs: () => 0,
      monotonicMs: () => 0,
      after(delayMs, callback) {
        const timer = { delayMs, callback };
        timers.push(timer);
        return { cancel: () => (timers = timers.filter((other) => other !== timer)) };
      },
    },
    fire: () => {
      const due = timers;
      timers = [];
      for (const timer of due) timer.callback();
    },
    waiting: () => timers.map((timer) => timer.delayMs),
  };
}

function aNotifier(env: Record<string, string>, alive = (): boolean => true) {
  const sent: Command[] = [];
  const held = aHeldClock();
  const notify = new SdNotify({
    env,
    clock: held.clock,
    log: silentLogger,
    alive,
    run: async (command) => {
      sent.push(command);
      return { stdout: '', stderr: '' };
    },
  });
  return { notify, sent, ...held };
}

describe('messages to systemd', () => {
  test('each state is its own assignment', () => {
    expect(notifyCommand('ready', 'node hv1')).toEqual(['systemd-notify', 'READY=1', 'STATUS=node hv1']);
    expect(notifyCommand('stopping')).toEqual(['systemd-notify', 'STOPPING=1']);
    expect(notifyCommand('watchdog')).toEqual(['systemd-notify', 'WATCHDOG=1']);
  });

  test('a status text cannot smuggle in a second assignment', () => {
    expect(notifyAssignments('ready', 'a\nWATCHDOG=trigger')).toEqual(['READY=1', 'STATUS=a WATCHDOG=trigger']);
  });

  test('nothing is sent where systemd did not start the process', async () => {
    const { notify, sent } = aNotifier({});
    await notify.send('ready');
    expect(sent).toEqual([]);
  });

  test('a message names the socket of the environment', async () => {
    const { notify, sent } = aNotifier({ NOTIFY_SOCKET: '/run/x' });
    await notify.send('ready');
    expect(sent).toEqual([['systemd-notify', 'READY=1']]);
  });
});

describe('the watchdog', () => {
  test('is answered every half of WatchdogSec', () => {
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '20000000' })).toBe(10_000);
    expect(watchdogIntervalMs({})).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: 'soon' })).toBeUndefined();
  });

  test('is not answered while no work is finished, and is answered again afterwards', () => {
    let alive = true;
    const { notify, sent, fire, waiting } = aNotifier({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '4000000' }, () => alive);
    notify.start();
    notify.start();
    expect(waiting()).toEqual([2_000]);
    fire();
    alive = false;
    fire();
    expect(sent).toHaveLength(1);
    alive = true;
    fire();
    expect(sent).toHaveLength(2);
    notify.stop();
    expect(waiting()).toEqual([]);
  });
});
