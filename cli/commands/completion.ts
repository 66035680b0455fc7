import { Argument } from 'commander';
import type { Command } from 'commander';
import type { CliContext } from '../context.ts';

/** Words of the command tree: `''` → top level, `templates` → its commands; options behind the commands. */
export function completionWords(program: Command): Map<string, readonly string[]> {
  const words = new Map<string, readonly string[]>();
  const globals = program.options.map((option) => option.long ?? '').filter((long) => long !== '');
  const visit = (command: Command, path: string): void => {
    const names = command.commands.map((each) => each.name());
    const options = command.options.map((option) => option.long ?? '').filter((long) => long !== '');
    words.set(path, [...new Set([...names, ...options, ...(path === '' ? [] : globals)])]);
    for (const each of command.commands) visit(each, `${path} ${each.name()}`.trim());
  };
  visit(program, '');
  return words;
}

const cases = (words: ReadonlyMap<string, readonly string[]>): string =>
  [...words].map(([path, list]) => `    '${path}') words='${list.join(' ')}' ;;`).join('\n');

/** Walks the words so far down to the deepest command that is known. */
const bash = (words: ReadonlyMap<string, readonly string[]>): string => `_berth() {
  local path='' word words=''
  local known=' ${[...words.keys()]
    .filter((path) => path !== '')
    .map((path) => path.replaceAll(' ', '/'))
    .join(' ')} '
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    local next="\${path:+$path/}$word"
    [[ "$known" == *" $next "* ]] && path="$next"
  done
  case "\${path//\\// }" in
${cases(words)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _berth berth`;

const zsh = (words: ReadonlyMap<string, readonly string[]>): string => `autoload -U +X bashcompinit && bashcompinit
${bash(words)}`;

const fish = (words: ReadonlyMap<string, readonly string[]>): string =>
  [...words]
    .flatMap(([path, list]) => {
      const parts = path === '' ? [] : path.split(' ');
      const condition =
        parts.length === 0
          ? '__fish_use_subcommand'
          : parts.map((part) => `__fish_seen_subcommand_from ${part}`).join('; and ');
      return list.map((word) =>
        word.startsWith('--')
          ? `complete -c berth -n '${condition}' -l ${word.slice(2)}`
          : `complete -c berth -f -n '${condition}' -a ${word}`,
      );
    })
    .join('\n');

const shells = { bash, zsh, fish };

export function registerCompletion(program: Command, context: () => CliContext): void {
  program
    .command('completion')
    .description('completion script: berth completion bash > /etc/bash_completion.d/berth')
    .addArgument(new Argument('<shell>').choices(Object.keys(shells)))
    .action((shell: keyof typeof shells) => {
      const script = shells[shell](completionWords(program));
      context().output.result({ shell, script }, () => script);
    });
}
