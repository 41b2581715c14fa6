import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const FOLDER = import.meta.dirname;
const FILES = readdirSync(FOLDER).filter((name) => /^(.*-client|catalogue|connection)\.ts$/u.test(name));

function undocumented(name: string): string[] {
  const tree = ts.createSourceFile(name, readFileSync(join(FOLDER, name), 'utf8'), ts.ScriptTarget.ES2023, true);
  const classes = tree.statements.filter(ts.isClassDeclaration);
  const parts = classes.flatMap((one) => [one, ...one.members.filter(isPublicMethod)]);
  return parts.filter((part) => ts.getJSDocCommentsAndTags(part).length === 0).map((part) => `${name}: ${part.name?.getText(tree) ?? 'constructor'}`);
}

function isPublicMethod(member: ts.ClassElement): boolean {
  return ts.isConstructorDeclaration(member) || (ts.isMethodDeclaration(member) && !ts.isPrivateIdentifier(member.name));
}

test('every client and every public method of it says what it does', () => {
  expect(FILES.length).toBeGreaterThanOrEqual(9);
  expect(FILES.flatMap(undocumented)).toEqual([]);
});
