const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** What programs in general need: where things are, how to reach the network, in which language to speak. */
const usualNames = words(`
  PATH HOME USER LOGNAME SHELL HOSTNAME LANG LANGUAGE TZ TMPDIR TERM LD_LIBRARY_PATH
  HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy
  SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE
  SSH_AUTH_SOCK GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS NETRC KUBECONFIG`);

/** Credentials and settings of providers, which template authors rely on (spec/02 §3.1). */
const usualPrefixes = words(`
  LC_ XDG_ TF_ TOFU_ GIT_CONFIG_
  AWS_ ARM_ AZURE_ GOOGLE_ GCLOUD_ CLOUDSDK_ OS_ OCI_ ALICLOUD_ ALIBABA_ IBMCLOUD_ IC_
  DIGITALOCEAN_ SPACES_ HCLOUD_ LINODE_ VULTR_ SCW_ OVH_ EXOSCALE_ EQUINIX_ METAL_ CLOUDFLARE_ FLY_
  KUBE_ HELM_ DOCKER_ PODMAN_ LIBVIRT_ VSPHERE_ PROXMOX_ PM_ NUTANIX_
  VAULT_ CONSUL_ NOMAD_ GITHUB_ GITLAB_ BITBUCKET_ DATADOG_ DD_`);

/**
 * The part of the worker's environment that templates may see at all. `more` are an operator's additions: names, `PREFIX_*`,
 * or `*` for everything. What belongs to the platform itself stays out all the same (base-environment.ts).
 */
export function allowedEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  more: readonly string[],
): Record<string, string> {
  const names = new Set([...usualNames, ...more]);
  const prefixes = [...usualPrefixes, ...more.filter((text) => text.endsWith('*')).map((text) => text.slice(0, -1))];
  const isAllowed = (name: string): boolean => names.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value !== undefined && isAllowed(name) ? [[name, value]] : [])),
  );
}
