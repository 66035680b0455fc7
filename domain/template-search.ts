import { invalidField } from './errors.ts';
import { isUuid } from './ids.ts';
import { parseSearch, searchTerms } from './query-language.ts';

/** What a list of templates is narrowed to; texts are lower case. Source: spec/06 §1.3. */
export interface TemplateFilter {
  /** uuid or name. */
  readonly organization?: string | undefined;
  readonly name?: string | undefined;
  readonly displayName?: string | undefined;
  readonly exactName?: string | undefined;
  readonly exactDisplayName?: string | undefined;
  readonly ids?: readonly string[] | undefined;
  readonly deprecated?: boolean | undefined;
  /** true lists deleted templates instead of live ones. */
  readonly deleted: boolean;
  /** Username. */
  readonly author?: string | undefined;
  readonly authorId?: string | undefined;
  readonly hasAiTask?: boolean | undefined;
  readonly hasExternalAgent?: boolean | undefined;
  /** Part of the display name, or of the name where there is no display name. */
  readonly free?: string | undefined;
}

const keys = [
  'organization',
  'name',
  'display_name',
  'exact_name',
  'exact_display_name',
  'ids',
  'deprecated',
  'deleted',
  'author',
  'author_id',
  'has-ai-task',
  'has_external_agent',
];

/** `q` of the template lists. `me` as author is the caller. Throws INVALID_INPUT naming `q` or the key. */
export function parseTemplateSearch(q: string, callerId: string): TemplateFilter {
  const search = parseSearch(q, keys);
  const terms = searchTerms(search);
  const uuids = (key: string) =>
    terms.list(key)?.map((text) => {
      if (!isUuid(text)) throw invalidField(key, `"${text}" is not a uuid`);
      return text;
    });
  const author = terms.text('author');
  const [authorId] = uuids('author_id') ?? [];
  return {
    organization: terms.text('organization'),
    name: terms.text('name'),
    displayName: terms.text('display_name'),
    exactName: terms.text('exact_name'),
    exactDisplayName: terms.text('exact_display_name'),
    ids: uuids('ids'),
    deprecated: terms.boolean('deprecated'),
    deleted: terms.boolean('deleted') ?? false,
    ...(author === 'me' ? {} : { author }),
    authorId: author === 'me' ? callerId : authorId,
    hasAiTask: terms.boolean('has-ai-task'),
    hasExternalAgent: terms.boolean('has_external_agent'),
    free: search.free === '' ? undefined : search.free,
  };
}
