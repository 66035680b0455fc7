import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { loadAgentBundle } from '../../agent/bundle.ts';
import { initScript, isInitScriptPlatform, renderInitScript } from '../../agent/init-script.ts';
import { findAgentBundle } from '../../db/queries/files.ts';
import { DomainError, notFound } from '../../domain/errors.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';

const text = (type: string, description: string) => ({
  200: { description, content: { [type]: { schema: z.string() } } },
});
const get = { method: 'get', access: 'public', tags: ['Agents'] } as const;

const bundleRoute = defineRoute({
  ...get,
  path: '/bin/agent.mjs',
  root: true,
  rateLimit: 'none',
  summary: 'The agent, for Node.js 20 or later; by its digest also one of an earlier version of the server',
  request: {
    query: z.object({
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
        .optional(),
    }),
  },
  responses: { ...text('text/javascript', 'One file'), 304: { description: 'The client has it already' } },
});
const executableRoute = defineRoute({
  ...get,
  path: '/bin/{executable}',
  root: true,
  summary: 'A single executable of the agent: not built by this server',
  request: { params: z.object({ executable: z.string().max(128).openapi({ example: 'agent-linux-amd64' }) }) },
  responses: {},
});
const script = {
  ...get,
  rateLimit: 'login',
  summary: 'What a machine runs to start its agent; without a token',
  responses: text('text/plain', 'POSIX sh, for Windows PowerShell'),
} as const;
const scriptRoute = defineRoute({
  ...script,
  path: '/init-script',
  request: { query: z.object({ os: z.string().max(64).default('linux'), arch: z.string().max(64).default('amd64') }) },
});
const platformScriptRoute = defineRoute({
  ...script,
  path: '/init-script/{os}/{arch}',
  request: { params: z.object({ os: z.string().max(64), arch: z.string().max(64) }) },
});

/** RFC 9530. */
const contentDigest = (sha256: Buffer): string => `sha-256=:${sha256.toString('base64')}:`;

/** What workspaces load before they have a token. Source: spec/05 §15, §16. */
export function registerAgentDownloadRoutes(app: App, { config, db }: AppDeps): void {
  const bundle = () => loadAgentBundle({ directory: join(config.BERTH_DATA_DIR, 'agent') });
  /** Ours, or one that an earlier version (or, while an upgrade is under way, a later one) has stored. */
  const bundleOf = async (asked: string | undefined) => {
    const own = await bundle();
    if (asked === undefined || asked === own.sha256) return own;
    const stored = await findAgentBundle(db, asked);
    if (stored === undefined) throw notFound();
    return { code: stored, sha256: asked };
  };

  app.openapi(bundleRoute, async (c) => {
    const { code, sha256 } = await bundleOf(c.req.valid('query').sha256);
    const etag = `"${sha256}"`;
    c.header('ETag', etag);
    // Revalidated each time: after an upgrade the old file would not match the scripts' digest.
    c.header('Cache-Control', 'public, no-cache');
    c.header('Content-Digest', contentDigest(Buffer.from(sha256, 'hex')));
    if ((c.req.header('If-None-Match') ?? '').split(',').some((known) => known.trim() === etag))
      return c.body(null, 304);
    return c.body(new Uint8Array(code), 200, { 'Content-Type': 'text/javascript; charset=utf-8' });
  });
  app.openapi(executableRoute, (c) => {
    throw new DomainError('NOT_FOUND', `There is no single executable ${c.req.valid('param').executable}`, {
      detail: 'Install Node.js 20 or later in the workspace: the init script then takes /bin/agent.mjs',
    });
  });

  async function answerScript(c: Context<ApiEnv>, platform: { os: string; arch: string }) {
    const [os, arch] = [platform.os.toLowerCase(), platform.arch.toLowerCase()];
    if (!isInitScriptPlatform(os, arch)) throw new DomainError('INVALID_INPUT', `Unknown os/arch: ${os}/${arch}`);
    const { sha256 } = await bundle();
    const filled = renderInitScript(initScript({ os, arch, agentSha256: sha256 }), {
      accessUrl: config.CODER_ACCESS_URL,
      authType: 'token',
    });
    c.header('Content-Digest', contentDigest(createHash('sha256').update(filled).digest()));
    return c.text(filled, 200);
  }
  app.openapi(scriptRoute, (c) => answerScript(c, c.req.valid('query')));
  app.openapi(platformScriptRoute, (c) => answerScript(c, c.req.valid('param')));
}
