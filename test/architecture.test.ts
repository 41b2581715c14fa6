import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { apiConfig } from '../api/config.ts';
import { httpStatusOf } from '../api/middleware/errors.ts';
import { ERROR_CODES, isRetryable, type ErrorCode } from '../common/errors.ts';
import { nodeConfig } from '../node-daemon/config.ts';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const SOURCE_FOLDERS = ['common', 'api', 'node-daemon', 'lab', 'test', 'client'];

/** The two tables that may pass on what others export (house rule 2), and the entry of a package that others install. */
const TABLES = new Set(['common/schema/resources.ts', 'node-daemon/reconcilers/index.ts', 'client/index.ts']);

/** `target`: path from the project's root, or a package's name. `later`: loaded when it is needed, by import(). */
interface Import {
  target: string;
  typeOnly: boolean;
  later: boolean;
}

interface Source {
  path: string;
  isTest: boolean;
  imports: readonly Import[];
  tree: ts.SourceFile;
}

function filesBelow(folder: string): string[] {
  const absolute = join(ROOT, folder);
  if (!existsSync(absolute)) return [];
  return readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort();
}

function readSource(path: string): Source {
  const tree = ts.createSourceFile(path, readFileSync(join(ROOT, path), 'utf8'), ts.ScriptTarget.ES2023, false);
  return { path, tree, imports: importsOf(path, tree), isTest: path.startsWith('test/') || path.endsWith('.test.ts') };
}

function importsOf(path: string, tree: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean, later = false): void => {
    const target = specifier.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), specifier)) : specifier;
    found.push({ target, typeOnly, later });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, isTypeOnly(node.importClause));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const argument = node.arguments[0];
      if (argument !== undefined && ts.isStringLiteralLike(argument)) add(argument.text, false, true);
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const named = clause.namedBindings;
  if (clause.name !== undefined || named === undefined || !ts.isNamedImports(named)) return false;
  return named.elements.length > 0 && named.elements.every((element) => element.isTypeOnly);
}

const ALL_FILES = SOURCE_FOLDERS.flatMap(filesBelow);
const SOURCES = ALL_FILES.filter((path) => path.endsWith('.ts')).map(readSource);
const PRODUCT = SOURCES.filter((source) => !source.isTest);

/**
 * The layers of the design, each with the layers that it may import besides itself. A file belongs to the first
 * layer whose prefix it has; a file of the three packages without a layer is a fault, so a new folder is a decision.
 */
const BASE = ['base'];
const MODEL = [...BASE, 'schema', 'domain'];
const LAYERS: readonly { name: string; prefixes: readonly string[]; below: readonly string[] }[] = [
  { name: 'schema', prefixes: ['common/schema/'], below: BASE },
  { name: 'view', prefixes: ['common/view/'], below: [...BASE, 'schema'] },
  { name: 'domain', prefixes: ['common/domain/'], below: [...BASE, 'schema'] },
  { name: 'store', prefixes: ['common/store/'], below: BASE },
  { name: 'mirror', prefixes: ['common/mirror/'], below: [...BASE, 'schema', 'store'] },
  { name: 'operations', prefixes: ['common/operations/'], below: [...MODEL, 'store', 'mirror'] },
  { name: 'reconcile', prefixes: ['common/reconcile/'], below: BASE },
  { name: 'libvirt', prefixes: ['common/libvirt/'], below: BASE },
  { name: 'rados', prefixes: ['common/rados/'], below: BASE },
  { name: 'base', prefixes: ['common/'], below: [] },
  { name: 'client-command', prefixes: ['client/cli/'], below: [...BASE, 'schema', 'view', 'client'] },
  { name: 'client-example', prefixes: ['client/examples/'], below: ['client', 'view'] },
  { name: 'client', prefixes: ['client/'], below: [...BASE, 'schema', 'view'] },
  { name: 'api-main', prefixes: ['api/main.ts'], below: [...BASE, 'store', 'api-compose', 'api-config'] },
  {
    name: 'api-compose',
    prefixes: ['api/compose.ts', 'api/compose-storage.ts'],
    below: [...MODEL, 'store', 'mirror', 'operations', 'api-config', 'api-cluster', 'api-storage', 'api-routes', 'api-edge'],
  },
  { name: 'api-config', prefixes: ['api/config.ts'], below: [...BASE, 'schema'] },
  { name: 'api-cluster', prefixes: ['api/cluster.ts'], below: [...MODEL, 'store', 'mirror', 'operations'] },
  { name: 'api-storage', prefixes: ['api/storage/'], below: [...MODEL, 'rados'] },
  { name: 'api-edge', prefixes: ['api/params/', 'api/present/'], below: [...MODEL, 'view', 'mirror', 'api-cluster', 'api-storage'] },
  { name: 'api-routes', prefixes: ['api/'], below: [...MODEL, 'view', 'store', 'mirror', 'operations', 'api-config', 'api-cluster', 'api-storage', 'api-edge'] },
  { name: 'node-main', prefixes: ['node-daemon/main.ts'], below: [...BASE, 'store', 'node-compose', 'node-config'] },
  { name: 'node-config', prefixes: ['node-daemon/config.ts'], below: [...BASE, 'schema'] },
  { name: 'drivers', prefixes: ['node-daemon/drivers/'], below: [...MODEL, 'libvirt', 'rados', 'node-config'] },
  { name: 'plans', prefixes: ['node-daemon/plans/'], below: [...MODEL, 'drivers'] },
  {
    name: 'reconcilers',
    prefixes: ['node-daemon/reconcilers/'],
    below: [...MODEL, 'store', 'mirror', 'operations', 'reconcile', 'node-config', 'drivers', 'plans'],
  },
  {
    name: 'node-compose',
    prefixes: ['node-daemon/compose', 'node-daemon/host.ts', 'node-daemon/release.ts'],
    below: [...MODEL, 'store', 'mirror', 'operations', 'reconcile', 'libvirt', 'rados', 'node-config', 'drivers', 'plans', 'reconcilers'],
  },
];

function layerOf(path: string): (typeof LAYERS)[number] | undefined {
  return LAYERS.find((layer) => layer.prefixes.some((prefix) => path.startsWith(prefix)));
}

function wrongImports(source: Source): string[] {
  const layer = layerOf(source.path);
  if (layer === undefined) return [`${source.path} belongs to no layer of the design`];
  return source.imports
    .filter((one) => one.target.endsWith('.ts'))
    .filter((one) => {
      const target = layerOf(one.target)?.name;
      return target === undefined || (target !== layer.name && !layer.below.includes(target));
    })
    .map((one) => `${source.path} (${layer.name}) imports ${one.target}`);
}

describe('imports', () => {
  test('the sources were found', () => {
    expect(SOURCES.map((source) => source.path)).toContain('common/errors.ts');
    expect(readSource('common/process.ts').imports.map((one) => one.target)).toEqual(['execa', 'common/errors.ts']);
  });

  test('imports of common, api, client and node-daemon point one way', () => {
    const layered = PRODUCT.filter((source) => /^(common|api|client|node-daemon)\//u.test(source.path));
    expect(layered.flatMap(wrongImports)).toEqual([]);
  });

  test('common imports nothing outside common, its tests included', () => {
    const faults = SOURCES.filter((source) => source.path.startsWith('common/')).flatMap((source) =>
      source.imports
        .filter((one) => one.target.endsWith('.ts') && !one.target.startsWith('common/'))
        .filter((one) => !(source.isTest && one.target.startsWith('test/support/')))
        .map((one) => `${source.path} imports ${one.target}`),
    );
    expect(faults).toEqual([]);
  });

  test('api and node-daemon never import each other, their tests included', () => {
    const faults = SOURCES.flatMap((source) =>
      source.imports
        .filter((one) => source.path.startsWith('api/') && one.target.startsWith('node-daemon/')
          || source.path.startsWith('node-daemon/') && one.target.startsWith('api/'))
        .map((one) => `${source.path} imports ${one.target}`),
    );
    expect(faults).toEqual([]);
  });

  test('what the client runs is its own files, base, schemas and views, zod, and what Node has for HTTP', () => {
    const { packages, reached } = reachedFrom('client/index.ts', { later: true });
    expect(packages.sort()).toEqual(['node:crypto', 'node:http', 'node:https', 'node:stream', 'zod']);
    expect(reached.filter((path) => !/^(client|client\/operations|common|common\/schema|common\/view)\/[a-z-]+\.ts$/u.test(path))).toEqual([]);
  });

  test('what the pvc command loads before it knows what to do is small: no schemas, no HTTP, no prompts, bars or tables', () => {
    const first = ['client/cli/main.ts', ...filesBelow('client/cli/commands').filter((path) => !path.endsWith('.test.ts'))];
    const large = [...new Set(first.flatMap((path) => reachedFrom(path, { later: false }).packages))].filter((name) => !name.startsWith('node:'));
    expect(large.sort()).toEqual(['commander', 'picocolors']);
  });

  test('the product never imports its tests or its lab', () => {
    const faults = PRODUCT.filter((source) => !source.path.startsWith('lab/')).flatMap((source) =>
      source.imports.filter((one) => /^(test|lab)\//u.test(one.target)).map((one) => `${source.path} imports ${one.target}`),
    );
    expect(faults).toEqual([]);
  });

  test.each([
    { name: 'execa', allowed: ['common/process.ts'] },
    { name: 'zookeeper', allowed: ['common/store/zookeeper-client.ts'] },
    { name: 'ssh2', allowed: ['common/libvirt/'] },
    { name: 'pino', allowed: ['common/log.ts'] },
    { name: 'koffi', allowed: ['common/rados/native-library.ts'] },
  ])('only $allowed imports $name', ({ name, allowed }) => {
    const faults = PRODUCT.filter((source) => source.imports.some((one) => one.target === name))
      .map((source) => source.path)
      .filter((path) => !allowed.some((prefix) => path.startsWith(prefix)));
    expect(faults).toEqual([]);
  });

  test('plans know drivers as types only', () => {
    const faults = PRODUCT.filter((source) => source.path.startsWith('node-daemon/plans/')).flatMap((source) =>
      source.imports
        .filter((one) => one.target.startsWith('node-daemon/drivers/') && !one.typeOnly)
        .map((one) => `${source.path} imports ${one.target}`),
    );
    expect(faults).toEqual([]);
  });

  test('plans and domain import no clock, store, log, process or Node module', () => {
    const impure = /^(node:|common\/(clock|log|process|sd-notify|config)\.ts$|common\/(store|mirror|operations|reconcile|libvirt)\/)/u;
    const faults = pureSources().flatMap((source) =>
      source.imports.filter((one) => impure.test(one.target)).map((one) => `${source.path} imports ${one.target}`),
    );
    expect(faults).toEqual([]);
  });

  test('plans and domain are synchronous', () => {
    const faults = pureSources().filter((source) => hasNode(source.tree, (node) => node.kind === ts.SyntaxKind.AsyncKeyword || ts.isAwaitExpression(node)));
    expect(faults.map((source) => source.path)).toEqual([]);
  });
});

/** The files and packages that are loaded with a file, without what it imports later. */
/** @param options whether what is imported only when it is needed counts. */
function reachedFrom(from: string, options: { later: boolean }): { packages: string[]; reached: string[] } {
  const found = new Set([from]);
  for (const path of found) {
    const imports = SOURCES.find((source) => source.path === path)?.imports ?? [];
    for (const one of imports.filter(({ typeOnly, later }) => !typeOnly && (options.later || !later))) found.add(one.target);
  }
  const isFile = (one: string): boolean => one.endsWith('.ts');
  return { reached: [...found].filter(isFile), packages: [...found].filter((one) => !isFile(one)) };
}

function pureSources(): Source[] {
  return PRODUCT.filter((source) => /^(node-daemon\/plans|common\/domain)\//u.test(source.path));
}

function hasNode(node: ts.Node, wanted: (node: ts.Node) => boolean): boolean {
  return wanted(node) || ts.forEachChild(node, (child) => hasNode(child, wanted) || undefined) === true;
}

describe('files', () => {
  test('file and folder names are kebab-case', () => {
    const name = /^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|mts|mjs|cjs)$/u;
    const folder = /^[a-z0-9]+(-[a-z0-9]+)*$/u;
    const faults = ALL_FILES.filter((path) => /\.[cm]?[jt]sx?$/u.test(path)).filter((path) => {
      const parts = path.split('/');
      const file = parts.pop() ?? '';
      return !name.test(file) || !parts.every((part) => folder.test(part));
    });
    expect(faults).toEqual([]);
  });

  test('nothing is exported by default', () => {
    const faults = SOURCES.filter((source) => source.tree.statements.some((statement) => ts.isExportAssignment(statement) || hasDefaultModifier(statement)));
    expect(faults.map((source) => source.path)).toEqual([]);
  });

  test('only the two tables pass on what other files export', () => {
    const faults = SOURCES.filter((source) => !TABLES.has(source.path)).filter((source) =>
      source.tree.statements.some((statement) => ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined),
    );
    expect(faults.map((source) => source.path)).toEqual([]);
  });
});

function hasDefaultModifier(statement: ts.Statement): boolean {
  return ts.canHaveModifiers(statement) && (ts.getModifiers(statement) ?? []).some((modifier) => modifier.kind === ts.SyntaxKind.DefaultKeyword);
}

describe('documents', () => {
  test('docs/errors.md has exactly the codes of common/errors.ts, in their order', () => {
    const rows = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').matchAll(/^\| `([a-z-]+)` \|/gmu);
    expect([...rows].map((row) => row[1])).toEqual([...ERROR_CODES]);
  });

  test('docs/errors.md has the HTTP status and the retry that the code has', () => {
    const rows = [...readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').matchAll(/^\| `[a-z-]+` \|.*\| ([^|]+) \| (yes|no) \|$/gmu)];
    const statusOf = (code: ErrorCode): string => {
      const [read, command] = [httpStatusOf(code, 'GET'), httpStatusOf(code, 'POST')];
      return read === command ? String(read) : `${read}; ${command} for a command`;
    };
    expect(rows.map((row) => [row[1], row[2]])).toEqual(ERROR_CODES.map((code) => [statusOf(code), isRetryable(code) ? 'yes' : 'no']));
  });

  test('the list of decisions has every page, under the title of the page', () => {
    const list = readFileSync(join(ROOT, 'docs/decisions/README.md'), 'utf8');
    const pages = filesBelow('docs/decisions').filter((path) => /\/\d{4}-[a-z0-9-]+\.md$/u.test(path));
    const plain = (text: string): string => text.replaceAll('’', "'");
    const lines = pages.map((path) => {
      const title = /^# (.+)$/mu.exec(readFileSync(join(ROOT, path), 'utf8'))?.[1] ?? '';
      return `[${title}](${path.slice('docs/decisions/'.length)})`;
    });
    expect(lines.filter((line) => !plain(list).includes(plain(line)))).toEqual([]);
  });

  test('every file that the documents link to exists', () => {
    const documents = [...filesBelow('docs'), 'README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].filter((path) => path.endsWith('.md'));
    const faults = documents.flatMap((path) =>
      [...readFileSync(join(ROOT, path), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/gu)]
        .map((match) => join(dirname(path), match[1] ?? ''))
        .filter((target) => !existsSync(join(ROOT, target)))
        .map((target) => `${path} links to ${target}`),
    );
    expect(faults).toEqual([]);
  });
});

/** One key of a configuration schema: the default of a leaf, `required`, or `optional`. */
interface Key {
  path: string;
  kind: 'required' | 'optional' | 'default';
  value?: unknown;
}

/** The keys of a schema, depth first. Below an array or a union of plain values there are none. */
function keysOf(schema: z.core.$ZodType, path: string, kind: Key['kind'], value?: unknown): Key[] {
  if (schema instanceof z.ZodPrefault) {
    const given = Object.entries(schema.def.defaultValue ?? {}).map(([name, one]) => ({ path: `${path}.${name}`, kind: 'default' as const, value: one }));
    return [...keysOf(schema.def.innerType, path, 'default'), ...given];
  }
  if (schema instanceof z.ZodDefault) return keysOf(schema.def.innerType, path, 'default', schema.def.defaultValue);
  if (schema instanceof z.ZodOptional) return keysOf(schema.def.innerType, path, 'optional');
  const own: Key[] = path === '' ? [] : [{ path, kind, ...(value === undefined ? {} : { value }) }];
  if (schema instanceof z.ZodDiscriminatedUnion) return [...own, ...schema.def.options.flatMap((option) => keysOf(option, path, 'optional').slice(1))];
  if (!(schema instanceof z.ZodObject)) return own;
  const kindBelow = kind === 'optional' ? 'optional' : 'required';
  return [...own, ...Object.entries(schema.def.shape).flatMap(([name, one]) => keysOf(one, path === '' ? name : `${path}.${name}`, kindBelow))];
}

function valueAt(document: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => (at instanceof Object ? (at as Record<string, unknown>)[name] : undefined), document);
}

/** Comments begin with `# `; a line that begins with `#` and a word is a setting without a default. */
function withOptionalKeys(text: string): string {
  return text.replaceAll(/^( *)#(?=[a-z_]+:)/gmu, '$1');
}

function faultsOf(schema: z.ZodType, document: unknown): string[] {
  return (schema.safeParse(document).error?.issues ?? []).map((issue) => issue.path.join('.'));
}

const CONFIGURATIONS: readonly { file: string; schema: z.ZodType; keysMin: number }[] = [
  { file: 'config/pvcd.yaml', schema: nodeConfig, keysMin: 35 },
  { file: 'config/pvc-api.yaml', schema: apiConfig, keysMin: 18 },
];

describe.each(CONFIGURATIONS)('$file', ({ file, schema, keysMin }) => {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const shipped: unknown = parse(text);
  const complete: unknown = parse(withOptionalKeys(text));
  const keys = keysOf(schema, '', 'required');

  test('the schema was read', () => {
    expect(keys.length).toBeGreaterThanOrEqual(keysMin);
  });

  test('every key of the schema stands in the file', () => {
    expect(keys.map((key) => key.path).filter((path) => valueAt(complete, path) === undefined)).toEqual([]);
  });

  test('keys without a default are commented out, the others are not', () => {
    const faults = keys.filter((key) => key.kind !== 'optional' && valueAt(shipped, key.path) === undefined);
    expect(faults.map((key) => key.path)).toEqual([]);
  });

  test('the file shows the default of each key that has one', () => {
    const faults = keys.filter((key) => key.value !== undefined && JSON.stringify(valueAt(shipped, key.path)) !== JSON.stringify(key.value));
    expect(faults.map((key) => key.path)).toEqual([]);
  });

  test('each key has a comment of its own', () => {
    const lines = text.split('\n');
    const setting = /^ *#?[a-z_]+: *(\S.*)$/u;
    const bare = lines.filter((line, at) => setting.test(line) && !/^ *# /u.test(lines[at - 1] ?? ''));
    expect(bare).toEqual([]);
  });
});

describe('shipped configuration', () => {
  test('pvcd.yaml satisfies its schema as it is', () => {
    expect(faultsOf(nodeConfig, parse(readFileSync(join(ROOT, 'config/pvcd.yaml'), 'utf8')))).toEqual([]);
  });

  test('pvc-api.yaml is refused for want of secrets, and for nothing else', () => {
    const text = readFileSync(join(ROOT, 'config/pvc-api.yaml'), 'utf8');
    expect(faultsOf(apiConfig, parse(text))).toEqual(['pvc.api.authentication.secret_key', 'pvc.api.authentication.tokens']);
    const filled = text.replace("secret_key: ''", `secret_key: ${'k'.repeat(32)}`).replace('tokens: []', `tokens: [{ token: ${'t'.repeat(16)} }]`);
    expect(faultsOf(apiConfig, parse(filled))).toEqual([]);
  });
});
