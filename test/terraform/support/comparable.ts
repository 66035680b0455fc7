import type { ProvisionedResources } from '../../../domain/provisioned.ts';

/** The rows with every minted id and token replaced: what plan, raw state and shown state must agree on. */
export function comparable(rows: ProvisionedResources): unknown {
  return JSON.parse(
    JSON.stringify(rows, (key, value: unknown) => {
      if (key === 'token' || key === 'id' || key === 'logSourceId') return '<minted>';
      // A plan does not know the app's id yet.
      if (key === 'aiTaskAppId') return '<minted>';
      if ((key === 'parentId' || key === 'subagentId') && value !== null) return '<minted>';
      return value;
    }),
  );
}

/** Agents of all resources. */
export const agentsOf = (rows: ProvisionedResources) => rows.resources.flatMap((resource) => resource.agents);
