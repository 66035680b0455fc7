import { X509Certificate, createPublicKey, createVerify, verify } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { DomainError } from '../domain/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { readSignedData } from './signed-data.ts';

/**
 * What clouds sign about their machines, verified. Each answers the machine's id, or throws UNAUTHENTICATED; the reason goes to
 * the log only. Source: spec/05 §2.
 */
export interface IdentityVerifiers {
  aws(identity: { document: string; signature: string }): Promise<string>;
  azure(identity: { signature: string; encoding: string }): Promise<string>;
  google(identity: { token: string }): Promise<string>;
}

interface Deps {
  readonly config: Pick<
    Config,
    'BERTH_AWS_IDENTITY_CERTIFICATES' | 'BERTH_AZURE_IDENTITY_CERTIFICATES' | 'BERTH_GOOGLE_IDENTITY_KEYS_URL'
  >;
  readonly logger: Logger;
  now(): Date;
}

class Refused extends Error {}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const readCertificates = (paths: readonly string[]): X509Certificate[] =>
  paths.flatMap((path) => (readFileSync(path, 'utf8').match(pemBlock) ?? []).map((pem) => new X509Certificate(pem)));

function parseObject(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Refused below.
  }
  throw new Refused('the document is no JSON object');
}

function textOf(object: Record<string, unknown>, key: string): string {
  const value = object[key];
  if (typeof value !== 'string' || value === '') throw new Refused(`the document has no ${key}`);
  return value;
}

export function createIdentityVerifiers(deps: Deps): IdentityVerifiers {
  const { config, logger } = deps;
  const google = createGoogleKeys(config.BERTH_GOOGLE_IDENTITY_KEYS_URL, deps.now);
  // Read at the first use: a missing file refuses that cloud's machines, not the whole server.
  const certificates = (setting: 'BERTH_AWS_IDENTITY_CERTIFICATES' | 'BERTH_AZURE_IDENTITY_CERTIFICATES') => {
    let read: X509Certificate[] | undefined;
    return () => {
      read ??= readCertificates(config[setting]);
      if (read.length === 0) throw new Refused(`${setting} is not set: machines of this cloud cannot sign in`);
      return read;
    };
  };
  const awsCertificates = certificates('BERTH_AWS_IDENTITY_CERTIFICATES');
  const azureCertificates = certificates('BERTH_AZURE_IDENTITY_CERTIFICATES');

  const guarded =
    <I>(cloud: string, check: (identity: I) => string | Promise<string>) =>
    async (identity: I): Promise<string> => {
      try {
        return await check(identity);
      } catch (err) {
        logger.warn({ cloud, reason: (err as Error).message }, 'an instance identity was refused');
        throw new DomainError('UNAUTHENTICATED', 'The instance identity is not valid');
      }
    };

  return {
    aws: guarded('aws', ({ document, signature }) => {
      const bytes = Buffer.from(signature, 'base64');
      const signed = awsCertificates().some((certificate) =>
        createVerify('RSA-SHA256').update(document).verify(certificate.publicKey, bytes),
      );
      if (!signed) throw new Refused('the signature is none of a configured certificate');
      return textOf(parseObject(document), 'instanceId');
    }),
    azure: guarded('azure', ({ signature }) => verifyAzure(signature, azureCertificates(), deps.now())),
    google: guarded('google', ({ token }) => verifyGoogle(token, google, deps.now())),
  };
}

/** Who signs for Azure's metadata service. */
const azureSigner = /^CN=(?:[a-z0-9-]+\.)*metadata\.(?:azure\.(?:com|us|cn)|microsoftazure\.de)$/im;

function verifyAzure(signature: string, trusted: readonly X509Certificate[], now: Date): string {
  const signed = readSignedData(Buffer.from(signature, 'base64'));
  const within = (each: X509Certificate) => new Date(each.validFrom) <= now && now <= new Date(each.validTo);
  const issuedBy = (each: X509Certificate, issuer: X509Certificate) =>
    issuer.ca && within(issuer) && each.checkIssued(issuer) && each.verify(issuer.publicKey);
  // Certificates of the message lead to a trusted one in a few steps, or not at all.
  const isTrusted = (each: X509Certificate, steps: number): boolean =>
    trusted.some((issuer) => issuedBy(each, issuer)) ||
    (steps > 0 && signed.certificates.some((issuer) => issuedBy(each, issuer) && isTrusted(issuer, steps - 1)));
  const { signer } = signed;
  if (!azureSigner.test(signer.subject)) throw new Refused('the signer does not speak for the metadata service');
  if (!within(signer) || !isTrusted(signer, 3)) throw new Refused('the signer is not trusted');
  const content = parseObject(signed.content.toString());
  const stamp = content['timeStamp'] as { expiresOn?: unknown } | undefined;
  const expiresOn = Date.parse(String(stamp?.expiresOn));
  if (!Number.isNaN(expiresOn) && expiresOn <= now.getTime()) throw new Refused('the document has expired');
  return textOf(content, 'vmId');
}

type GoogleKeys = (keyId: string) => Promise<KeyObject | undefined>;

const googleIssuers = ['https://accounts.google.com', 'accounts.google.com'];
/** Our agent asks for tokens to this audience; those that a machine made for other services do not count here. */
const googleAudience = 'coder';
const clockSkewS = 60;

async function verifyGoogle(token: string, keys: GoogleKeys, now: Date): Promise<string> {
  const [header = '', payload = '', signature = '', ...rest] = token.split('.');
  if (rest.length > 0 || signature === '') throw new Refused('the token has not three parts');
  const decoded = (part: string) => parseObject(Buffer.from(part, 'base64url').toString());
  const { alg, kid } = decoded(header);
  if (alg !== 'RS256' || typeof kid !== 'string')
    throw new Refused('the token is not signed with RS256 and a known key');
  const key = await keys(kid);
  if (key === undefined) throw new Refused('the token is signed with an unknown key');
  const signed = verify('RSA-SHA256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
  if (!signed) throw new Refused('the signature does not match');
  const claims = decoded(payload);
  const nowS = now.getTime() / 1_000;
  if (!googleIssuers.includes(String(claims['iss']))) throw new Refused('the issuer is not Google');
  if (claims['aud'] !== googleAudience) throw new Refused('the token is meant for somebody else');
  if (typeof claims['exp'] !== 'number' || claims['exp'] + clockSkewS < nowS)
    throw new Refused('the token has expired');
  const machine = (claims['google'] as { compute_engine?: unknown } | undefined)?.compute_engine;
  if (typeof machine !== 'object' || machine === null) throw new Refused('the token names no machine');
  return textOf(machine as Record<string, unknown>, 'instance_id');
}

const fetchTimeoutMs = 5_000;
const defaultMaxAgeMs = 60 * 60_000;
/** Tokens with made-up key ids must not make us ask Google all the time. */
const minRefreshMs = 60_000;

/** Google's public keys, kept as long as the answer says; asked again early when a token names a key that is not among them. */
function createGoogleKeys(url: string, now: () => Date): GoogleKeys {
  let keys = new Map<string, KeyObject>();
  let fetchedAt = -Infinity;
  let validUntil = -Infinity;
  let fetching: Promise<void> | undefined;
  const refresh = async () => {
    const response = await fetch(url, { signal: AbortSignal.timeout(fetchTimeoutMs), redirect: 'error' });
    if (!response.ok) throw new Refused(`the keys cannot be fetched: ${response.status}`);
    const body = (await response.json()) as { keys?: (JsonWebKey & { kid?: string })[] };
    keys = new Map(
      (body.keys ?? [])
        .filter((each) => each.kty === 'RSA' && each.kid !== undefined)
        .map((each) => [each.kid!, createPublicKey({ key: each, format: 'jwk' })]),
    );
    const maxAge = /max-age=(\d+)/.exec(response.headers.get('cache-control') ?? '')?.[1];
    fetchedAt = now().getTime();
    validUntil = fetchedAt + (maxAge === undefined ? defaultMaxAgeMs : Number(maxAge) * 1_000);
  };
  return async (keyId) => {
    const nowMs = now().getTime();
    if (nowMs >= validUntil || (!keys.has(keyId) && nowMs >= fetchedAt + minRefreshMs)) {
      fetching ??= refresh().finally(() => (fetching = undefined));
      await fetching;
    }
    return keys.get(keyId);
  };
}
