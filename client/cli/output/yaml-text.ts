import { stringify } from 'yaml';

/** A document as YAML; what stands in it twice is written twice. */
export function yamlText(document: unknown): string {
  return stringify(document, { aliasDuplicateObjects: false });
}
