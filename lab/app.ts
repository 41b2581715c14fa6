import { access, cp, mkdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../common/errors.ts';
import type { LabPlace } from './state.ts';

/** The program that a lab runs: a copy, so that building the next one does not change a running cluster. */
export interface App {
  /** Absolute path of a file of the program. */
  file(name: string): string;
}

export const labApp = (place: LabPlace): App => ({ file: (name) => path.join(place.directory, 'app', name) });

/** Copies what was built last into the lab's folder. */
export async function installApp(place: LabPlace): Promise<App> {
  const root = await repositoryRoot();
  const app = labApp(place);
  const folder = app.file('');
  await rm(folder, { recursive: true, force: true });
  await mkdir(app.file('lab'), { recursive: true });
  await cp(path.join(root, 'dist'), app.file('dist'), { recursive: true });
  await cp(path.join(root, 'package.json'), app.file('package.json'));
  await cp(path.join(root, 'lab/host-init.sh'), app.file('lab/host-init.sh'));
  await symlink(path.join(root, 'node_modules'), app.file('node_modules'));
  return app;
}

/** The folder of package.json above this file, whether it runs as source or as dist. */
async function repositoryRoot(): Promise<string> {
  for (let folder = import.meta.dirname; folder !== '/'; folder = path.dirname(folder)) {
    if ((await exists(path.join(folder, 'package.json'))) && (await exists(path.join(folder, 'dist')))) return folder;
  }
  throw new AppError('state', 'the program is not built: npm run build', { from: import.meta.dirname });
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
