import { isUuid } from './ids.ts';
import { isResourceType } from './permissions.ts';
import type { ResourceType } from './permissions.ts';

/** `<type>:<uuid|*>` entries that narrow a key or an actor to single objects. Source: spec/07 §3.2, §4. */
export function isAllowListEntry(text: string): boolean {
  const [type = '', id = '', ...rest] = text.split(':');
  return rest.length === 0 && (type === '*' || isResourceType(type)) && (id === '*' || isUuid(id));
}

/** A dormant or prebuilt workspace is still that workspace. */
const matchesType = (entryType: string, type: ResourceType) =>
  entryType === '*' ||
  entryType === type ||
  (entryType === 'workspace' && (type === 'workspace_dormant' || type === 'prebuilt_workspace'));

/** The ids that the list leaves of a type, or `'all'`. An empty array allows nothing. */
export function allowedIds(allowList: readonly string[], type: ResourceType): 'all' | string[] {
  const ids = allowList
    .map((entry) => entry.split(':'))
    .filter(([entryType = '']) => matchesType(entryType, type))
    .map(([, id = '']) => id.toLowerCase());
  return ids.includes('*') ? 'all' : ids;
}

/** Creation has no id yet: naming the type suffices. */
export function allowListAllows(
  allowList: readonly string[],
  type: ResourceType,
  action: string,
  id?: string,
): boolean {
  const ids = allowedIds(allowList, type);
  if (ids === 'all') return true;
  return action === 'create' ? ids.length > 0 : id !== undefined && ids.includes(id.toLowerCase());
}

/** Whether every object of `wanted` is also in `held`. */
export const allowListWithin = (wanted: readonly string[], held: readonly string[]): boolean =>
  wanted.every((entry) => {
    const [type, id] = entry.split(':');
    return held.some((other) => {
      const [heldType, heldId] = other.split(':');
      return (heldType === '*' || heldType === type) && (heldId === '*' || heldId === id);
    });
  });
