import { expect, test } from 'vitest';
import { faultOf } from './check-definition.ts';
import { editorCommand } from './run-editor.ts';

const UUID = '0f7c0000-0000-4000-8000-000000000001';
const definition = (name: string, uuid = UUID, more = ''): string => `<domain><name>${name}</name><uuid>${uuid}</uuid><metadata><name>x</name></metadata>${more}</domain>`;

test.each([
  [definition('a', UUID, '<vcpu>2</vcpu>'), undefined],
  [definition('a', UUID.toUpperCase()), undefined],
  [definition('b'), 'pvc vm rename'],
  [definition('a', UUID.replace('1', '2')), 'UUID'],
  ['<domain><name>a</name>', 'not well-formed'],
  ['<network/>', 'root element'],
  ['', 'not well-formed'],
])('%s', (after, fault) => {
  const found = faultOf(definition('a'), after);
  expect(fault === undefined ? found : found?.includes(fault)).toBe(fault === undefined ? undefined : true);
});

test('a definition that had no UUID may get one', () => {
  expect(faultOf('<domain><name>a</name></domain>', definition('a'))).toBe(undefined);
});

test('the editor is VISUAL, EDITOR, or that of the machine, with its arguments', () => {
  expect(editorCommand({ EDITOR: 'vi' })).toEqual(['vi']);
  expect(editorCommand({ VISUAL: 'code --wait', EDITOR: 'vi' })).toEqual(['code', '--wait']);
  expect(editorCommand({ VISUAL: ' ', EDITOR: "sed -i 's/a b/c/' " })).toEqual(['sed', '-i', 's/a b/c/']);
  expect(editorCommand({})).toEqual(['editor']);
});
