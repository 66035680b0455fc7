/** Metrics that an agent reports of itself, as they are shown on our metrics page. Source: spec/05 §9, spec/08 §1. */
export interface ReportedMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly value: number;
  readonly labels: readonly { readonly name: string; readonly value: string }[];
}

/** Labels of ours that say whose agent it is. */
export const agentPlaceLabels = ['agent_name', 'template_name', 'username', 'workspace_name'] as const;
export type AgentPlaceLabel = (typeof agentPlaceLabels)[number];

/** Names of our own families, of those beside them and of Prometheus' own: an agent must not be able to speak for the server. */
const ownFamilies = /^((coderd|berth|process|nodejs|temporal|scrape)_|up$|ALERTS)/;
const maxLabels = 20;

/** A name that Prometheus takes; undefined when it is ours or nothing. Colons are for recording rules. */
export function metricName(reported: string): string | undefined {
  const name = reported.replaceAll(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d)/, '_');
  return name === '' || ownFamilies.test(name) ? undefined : name;
}

/** As Prometheus itself does with labels that it needs: ours stay, the agent's are moved aside. Names with `__` are reserved. */
function labelName(reported: string): string | undefined {
  const name = reported.replaceAll(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d)/, '_');
  if (name === '' || name.startsWith('__')) return undefined;
  return (agentPlaceLabels as readonly string[]).includes(name) ? `exported_${name}` : name;
}

/** Sorted by name, so that equal sets are equal text. An empty value is an absent label. undefined = too many. */
export function metricLabels(reported: ReportedMetric['labels']): Record<string, string> | undefined {
  if (reported.length > maxLabels) return undefined;
  const labels = new Map<string, string>();
  for (const { name: given, value } of reported) {
    const name = labelName(given);
    if (name !== undefined && value !== '') labels.set(name, value);
  }
  return Object.fromEntries([...labels].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
