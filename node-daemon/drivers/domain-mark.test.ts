import { DOMParser } from '@xmldom/xmldom';
import { describe, expect, test } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import { newVmId } from '../../common/ids.ts';
import { MARK_URI, markDomain } from './domain-mark.ts';

const uuid = newVmId();

function definition(inside: string): string {
  return `<domain type='qemu'><name>vm1</name><uuid>${uuid}</uuid>${inside}</domain>`;
}

function marksIn(xml: string): number {
  return new DOMParser().parseFromString(xml, 'text/xml').getElementsByTagNameNS(MARK_URI, 'vm').length;
}

function refused(xml: string): boolean {
  try {
    markDomain(uuid, xml);
    return false;
  } catch (error) {
    return isAppError(error, 'invalid');
  }
}

describe('the mark of our domains', () => {
  test('is put into metadata that is made for it', () => {
    const marked = markDomain(uuid, definition(''));
    expect(marked.name).toBe('vm1');
    expect(marksIn(marked.xml)).toBe(1);
  });

  test('is put beside the metadata of others, and once', () => {
    const others = `<metadata><app:x xmlns:app='urn:app'>kept &amp; whole</app:x></metadata>`;
    const twice = markDomain(uuid, markDomain(uuid, definition(others)).xml).xml;
    expect(marksIn(twice)).toBe(1);
    expect(twice).toContain('kept &amp; whole');
  });

  test('a metadata element deeper in the definition is not mistaken for the domain’s', () => {
    const { xml } = markDomain(uuid, definition('<devices><metadata/></devices>'));
    const root = new DOMParser().parseFromString(xml, 'text/xml').documentElement;
    expect(Array.from(root?.childNodes ?? []).some((node) => node.nodeName === 'metadata')).toBe(true);
  });

  test('text with markup in it stays text', () => {
    const { xml } = markDomain(uuid, definition('<description>&lt;/domain&gt; ]]&gt; &quot;</description>'));
    expect(new DOMParser().parseFromString(xml, 'text/xml').getElementsByTagName('description')[0]?.textContent).toBe('</domain> ]]> "');
  });

  test('a definition without a UUID gets ours, one with another is refused', () => {
    expect(markDomain(uuid, '<domain><name>vm1</name></domain>').xml).toContain(`<uuid>${uuid}</uuid>`);
    expect(refused(`<domain><name>vm1</name><uuid>${newVmId()}</uuid></domain>`)).toBe(true);
  });

  test('what is no domain, has no name, is broken or has a document type is refused', () => {
    expect(refused('')).toBe(true);
    expect(refused('<domain>')).toBe(true);
    expect(refused('<network><name>n</name></network>')).toBe(true);
    expect(refused(`<domain><uuid>${uuid}</uuid></domain>`)).toBe(true);
    expect(refused(`<!DOCTYPE domain [<!ENTITY e SYSTEM "file:///etc/passwd">]>${definition('')}`)).toBe(true);
    expect(refused(definition(''))).toBe(false);
  });
});
