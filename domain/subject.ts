/**
 * Who asks. Built once per request (from the key's row) or per activity (from the actor registry) and never changed.
 * There is no all-powerful subject: even an actor has a role table of its own (spec/07 §8).
 */
export interface Subject {
  readonly kind: 'user' | 'actor';
  /** User id; for actors the id of the user whose objects they own, else the nil uuid. */
  readonly id: string;
  /** Username, or the actor's name, which selects its permissions. */
  readonly name: string;
  /** Site roles; `member` is implied for users. */
  readonly roles: readonly string[];
  /** Organization id → roles there, implicit ones included. Absent = not a member, sees nothing of it. */
  readonly organizations: Readonly<Record<string, readonly string[]>>;
  /** Group ids, with the everyone group (= organization id) of each organization. */
  readonly groups: readonly string[];
  /** What the key may be used for; `coder:all` = no limit. */
  readonly scopes: readonly string[];
  /** `<type>:<uuid|*>`; `*:*` = no limit. */
  readonly allowList: readonly string[];
}

export const isSiteOwner = (subject: Subject): boolean => subject.kind === 'user' && subject.roles.includes('owner');
