import { expect, test } from 'vitest';
import type { MirroredKind } from '../common/schema/resources.ts';
import type { ApiMirror } from './cluster.ts';
import { EventRing } from './event-ring.ts';

/** A mirror of which only the transaction numbers matter. */
function aMirror(): { mirror: ApiMirror; change: (kind: MirroredKind, id: string, zxid?: number) => void } {
  const zxids = new Map<string, number>();
  let told: ((kind: MirroredKind, id: string) => void) | undefined;
  const mirror = {
    get: (kind: string, id: string) => (zxids.has(`${kind}/${id}`) ? { modifiedZxid: zxids.get(`${kind}/${id}`) } : undefined),
    all: () => new Map(),
    onChange: (listener: typeof told) => {
      told = listener;
      return () => (told = undefined);
    },
  } as unknown as ApiMirror;
  const change = (kind: MirroredKind, id: string, zxid?: number): void => {
    if (zxid === undefined) zxids.delete(`${kind}/${id}`);
    else zxids.set(`${kind}/${id}`, zxid);
    told?.(kind, id);
  };
  return { mirror, change };
}

function started(max?: number): { ring: EventRing; change: ReturnType<typeof aMirror>['change'] } {
  const { mirror, change } = aMirror();
  const ring = new EventRing({ mirror, ...(max === undefined ? {} : { max }) });
  ring.start();
  return { ring, change };
}

test('ids never fall, also for a removal and for changes that come in the wrong order', () => {
  const { ring, change } = started();
  change('vm', 'a', 10);
  change('vm-status', 'a', 8);
  change('vm', 'a');
  change('lease', 'primary', 50);
  expect([1, 2, 3, 4].map((sequence) => ring.at(sequence))).toEqual([
    { sequence: 1, zxid: 10, kind: 'vm', id: 'a' },
    { sequence: 2, zxid: 10, kind: 'vm', id: 'a' },
    { sequence: 3, zxid: 10, kind: 'vm', id: 'a' },
    undefined,
  ]);
});

test('a reader goes on at the first event with its id, so that none of those that share it is lost', () => {
  const { ring, change } = started();
  change('vm', 'a', 10);
  change('vm', 'b', 9);
  change('vm', 'c', 20);
  expect([ring.resumeAt(0), ring.resumeAt(10), ring.resumeAt(11), ring.resumeAt(20), ring.resumeAt(99)]).toEqual([1, 1, 3, 3, 4]);
});

test('what was cut off is lost, and a reader from before that cannot go on', () => {
  const { ring, change } = started(10);
  for (let zxid = 1; zxid <= 21; zxid += 1) change('task', `t${zxid}`, zxid);
  expect([ring.at(11), ring.at(12), ring.at(21)]).toEqual(['lost', expect.objectContaining({ zxid: 12 }), expect.objectContaining({ zxid: 21 })]);
  expect([ring.resumeAt(11), ring.resumeAt(12), ring.resumeAt(21)]).toEqual([undefined, 12, 21]);
});

test('a listener hears each event until it ends its subscription', () => {
  const { ring, change } = started();
  let heard = 0;
  const end = ring.listen(() => (heard += 1));
  change('node', 'hv1', 1);
  change('presence', 'hv1', 2);
  end();
  change('node', 'hv1', 3);
  expect(heard).toBe(2);
});
