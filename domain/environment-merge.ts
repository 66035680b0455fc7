import { DomainError } from './errors.ts';
import { compareBytes } from './text-order.ts';

export type MergeStrategy = 'replace' | 'append' | 'prepend' | 'error';

/** One `coder_env` of an agent. */
export interface EnvironmentEntry {
  /** Full Terraform address: decides the order. */
  readonly address: string;
  readonly name: string;
  readonly value: string;
  readonly strategy: MergeStrategy;
}

const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

const joined = (first: string, second: string): string =>
  first === '' ? second : second === '' ? first : `${first}:${second}`;

/**
 * Environment of one agent: its `coder_env` in byte order of their addresses, then the agent's own `env`, which always
 * wins. null when nothing is set. Throws DomainError INVALID_TEMPLATE naming variable and address when an `error` entry
 * meets another one of the same name, whichever comes first. Source: spec/02 §4.8.
 */
export function mergeEnvironment(
  entries: readonly EnvironmentEntry[],
  agentEnv: ReadonlyMap<string, string> = new Map(),
): Readonly<Record<string, string>> | null {
  const merged = new Map<string, string>();
  const exclusive = new Map<string, string>();
  for (const { address, name, value, strategy } of entries.toSorted((a, b) => compareBytes(a.address, b.address))) {
    if (!namePattern.test(name))
      throw new DomainError('INVALID_TEMPLATE', `${address}: "${name}" is not a name of an environment variable.`);
    const old = merged.get(name);
    const owner = exclusive.get(name);
    if (old !== undefined && (strategy === 'error' || owner !== undefined))
      throw new DomainError(
        'INVALID_TEMPLATE',
        `${address}: the environment variable ${name} is already set` +
          (owner === undefined
            ? ' and its merge_strategy is "error".'
            : ` by ${owner}, whose merge_strategy is "error".`),
      );
    if (strategy === 'error') exclusive.set(name, address);
    merged.set(name, old === undefined ? value : combined(strategy, old, value));
  }
  for (const [name, value] of agentEnv) merged.set(name, value);
  return merged.size === 0 ? null : Object.fromEntries(merged);
}

function combined(strategy: MergeStrategy, old: string, value: string): string {
  switch (strategy) {
    case 'append':
      return joined(old, value);
    case 'prepend':
      return joined(value, old);
    case 'replace':
    case 'error':
      return value;
  }
}
