/** Search attributes of every workflow, all of type Keyword: ids and short names only, never free text (spec/07 §10.2). */
export const searchAttributeNames = [
  'BerthWorkspace',
  'BerthOwner',
  'BerthTemplate',
  'BerthTransition',
  'BerthReason',
  'BerthJobStatus',
] as const;
export type SearchAttributeName = (typeof searchAttributeNames)[number];
export type WorkflowSearchAttributes = Readonly<Partial<Record<SearchAttributeName, string>>>;
