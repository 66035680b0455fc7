import type { Db } from '../db/client.ts';
import { type BuildVersion, findVersionForBuild, listParameters } from '../db/queries/template-versions.ts';
import type { TemplateParameter } from '../domain/provisioned.ts';

export interface LoadedVersion {
  readonly version: BuildVersion;
  readonly parameters: readonly TemplateParameter[];
}
export type LoadVersion = (versionId: string) => Promise<LoadedVersion>;

/** Versions with their parameters, each read once in a transaction: the workspaces of a batch share few. */
export function createVersionLoader(tx: Db): LoadVersion {
  const loaded = new Map<string, Promise<LoadedVersion>>();
  const load = async (versionId: string): Promise<LoadedVersion> => {
    const [version, parameters] = [await findVersionForBuild(tx, versionId), await listParameters(tx, versionId)];
    // Versions are archived and never deleted.
    if (version === undefined) throw new Error(`template version ${versionId} is not there`);
    return { version, parameters };
  };
  return (versionId) => {
    const found = loaded.get(versionId) ?? load(versionId);
    loaded.set(versionId, found);
    return found;
  };
}
