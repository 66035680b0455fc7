import { request } from './http.ts';
import type { AuthType } from './settings.ts';

/** These services answer on the machine itself: whatever takes longer is not there. */
const timeoutMs = 5_000;
const linkLocal = 'http://169.254.169.254';

interface MetadataService {
  /** '' = the cloud's usual address. */
  readonly metadataUrl: string;
  readonly signal: AbortSignal;
}

/** What the cloud signs about this machine, in the form that the server's exchange takes. Source: spec/05 §2. */
export async function identityDocuments(
  auth: Exclude<AuthType, 'token'>,
  { metadataUrl, signal }: MetadataService,
): Promise<Record<string, string>> {
  const ask = async (path: string, headers: Record<string, string>, method = 'GET'): Promise<string> => {
    const base = metadataUrl || (auth === 'google-instance-identity' ? 'http://metadata.google.internal' : linkLocal);
    const answer = await request({ method, url: `${base}${path}`, headers, timeoutMs, signal });
    if (answer.status !== 200) throw new Error(`the metadata service answered ${answer.status}`);
    return answer.text;
  };
  switch (auth) {
    case 'aws-instance-identity': {
      // IMDSv2: every question needs a session token.
      const session = await ask('/latest/api/token', { 'X-aws-ec2-metadata-token-ttl-seconds': '300' }, 'PUT');
      const headers = { 'X-aws-ec2-metadata-token': session };
      const [document, signature] = await Promise.all([
        ask('/latest/dynamic/instance-identity/document', headers),
        ask('/latest/dynamic/instance-identity/signature', headers),
      ]);
      return { signature, document };
    }
    case 'azure-instance-identity': {
      const text = await ask('/metadata/attested/document?api-version=2020-09-01', { Metadata: 'true' });
      const { signature, encoding } = JSON.parse(text) as { signature: string; encoding: string };
      return { signature, encoding };
    }
    case 'google-instance-identity':
      return {
        json_web_token: await ask(
          '/computeMetadata/v1/instance/service-accounts/default/identity?audience=coder&format=full',
          { 'Metadata-Flavor': 'Google' },
        ),
      };
  }
}
