import { BlockList, isIP } from 'node:net';

/**
 * The client's address. Forwarding headers count only when the peer is a trusted proxy; then the right-most hop that is
 * not itself trusted is the client. Source: spec/07 §7.
 */
export function createClientIp(options: { trustedOrigins: readonly string[]; trustedHeaders: readonly string[] }) {
  const trusted = new BlockList();
  for (const origin of options.trustedOrigins) {
    const [address = '', bits] = origin.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(address) === 0) throw new Error(`CODER_PROXY_TRUSTED_ORIGINS: not an address or network: ${origin}`);
    if (bits === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(bits), family);
  }
  const isTrusted = (address: string) =>
    isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/, '').trim();

  return (peer: string | undefined, header: (name: string) => string | undefined): string | null => {
    if (peer === undefined) return null;
    const direct = plain(peer);
    if (!isTrusted(direct)) return direct;
    for (const name of options.trustedHeaders) {
      const hops = (header(name) ?? '')
        .split(',')
        .map(plain)
        .filter((hop) => isIP(hop) !== 0);
      const client = hops.reverse().find((hop) => !isTrusted(hop)) ?? hops.at(-1);
      if (client !== undefined) return client;
    }
    return direct;
  };
}
