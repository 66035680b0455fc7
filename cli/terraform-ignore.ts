interface Rule {
  readonly pattern: RegExp;
  readonly negated: boolean;
  readonly foldersOnly: boolean;
}

/**
 * Rules of a `.terraformignore` file: one per line, `#` comments, `!` takes back, a trailing `/` means folders, a pattern
 * with a slash elsewhere counts from the root, `**` crosses folders; the last match wins. `.git` is ignored unless taken back.
 */
export function createIgnore(text: string): (path: string, isFolder: boolean) => boolean {
  const rules = ['.git/', ...text.split(/\r?\n/)]
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(parseRule);
  return (path, isFolder) => {
    let ignored = false;
    for (const { pattern, negated, foldersOnly } of rules)
      if ((isFolder || !foldersOnly) && pattern.test(path)) ignored = !negated;
    return ignored;
  };
}

function parseRule(line: string): Rule {
  const negated = line.startsWith('!');
  let glob = negated ? line.slice(1) : line;
  const foldersOnly = glob.endsWith('/');
  if (foldersOnly) glob = glob.slice(0, -1);
  const anchored = glob.includes('/');
  const body = glob
    .replace(/^\//, '')
    .split(/(\*\*\/|\/\*\*$|\*\*|\*|\?)/)
    .map(translate)
    .join('');
  return { pattern: new RegExp(`${anchored ? '^' : '(^|/)'}${body}$`), negated, foldersOnly };
}

function translate(part: string): string {
  if (part === '**/') return '(.*/)?';
  if (part === '/**') return '/.*';
  if (part === '**') return '.*';
  if (part === '*') return '[^/]*';
  if (part === '?') return '[^/]';
  return part.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`);
}
