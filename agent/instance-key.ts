import type { Manifest } from './protocol.ts';

/**
 * What makes an instance: another agent row, build or owner behind the same process means a resumed machine or a claimed
 * prebuild, and everything starts again. Source: spec/05 §5 "suspended machines", §14.
 */
export const instanceKey = ({ agent_id, build_id, owner_id }: Manifest): string =>
  `${agent_id}/${build_id}/${owner_id}`;

export const isTopLevel = ({ parent_id }: Manifest): boolean => /^[0-]*$/.test(parent_id);
