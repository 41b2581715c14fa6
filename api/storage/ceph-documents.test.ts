import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { isAppError } from '../../common/errors.ts';
import { parseCephJson, parseOsdStatus } from './ceph-documents.ts';

describe("Ceph's JSON", () => {
  const schema = z.object({ var: z.number(), text: z.string().optional() });

  function failure(text: string): unknown {
    try {
      parseCephJson(schema, 'osd df', text);
      return undefined;
    } catch (error) {
      if (!isAppError(error, 'component')) throw error;
      return error.details['command'];
    }
  }

  test('may have divisions by nothing in it', () => {
    expect(parseCephJson(schema, 'osd df', '{"var":-nan,"text":"a:nan,"}')).toEqual({ var: 0, text: 'a:nan,' });
    expect(parseCephJson(schema, 'osd df', '{"var":inf}')).toEqual({ var: 0 });
  });

  test('that is none, or not what is expected, is a fault of the component', () => {
    for (const text of ['', 'x', '{', '{"var":"1"}', '[]']) expect(failure(text)).toBe('osd df');
  });
});

describe('the table of osd status', () => {
  test('is read by its rows, also without a host', () => {
    const table = `
ID  HOST   USED  AVAIL  WR OPS  WR DATA  RD OPS  RD DATA  STATE
 0  hv1    290M  3805M      0        6       0        1   exists,up
12  hv-2  55.8G   391G      2    81.9k       6      118   autoout,exists
 3        0       0        0        0       0        0   exists,new
`;
    expect(parseOsdStatus(table).map(({ id, used, avail, writeData, state }) => [id, used, avail, writeData, state])).toEqual([
      [0, '290M', '3805M', '6', 'exists,up'],
      [12, '55.8G', '391G', '81.9k', 'autoout,exists'],
      [3, '0', '0', '0', 'exists,new'],
    ]);
  });

  test('of another form is passed over', () => {
    expect(parseOsdStatus('{"OSDs":[]}\n 0 x\n')).toEqual([]);
  });
});
