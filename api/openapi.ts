import type { App } from './context.ts';
import { version } from './version.ts';

/** The OpenAPI 3.1 document, generated from the route schemas alone; its paths are sorted so that diffs stay small. */
export function openApiDocument(app: App) {
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Berth API',
      version,
      description:
        'Control plane for remote development workspaces. Every operation says in `x-berth-access` who may call it: ' +
        '`public`, `signed-in`, `agent`, or the permission that is checked.',
    },
    servers: [{ url: '/' }],
  });
  const paths = Object.fromEntries(
    Object.entries(document.paths ?? {}).sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0)),
  );
  return { ...document, paths };
}

export const securitySchemes = {
  sessionToken: { type: 'apiKey', in: 'header', name: 'Coder-Session-Token' },
  bearer: { type: 'http', scheme: 'bearer' },
  cookie: { type: 'apiKey', in: 'cookie', name: 'coder_session_token' },
  agentToken: { type: 'apiKey', in: 'header', name: 'Coder-Session-Token', description: 'Token of a workspace agent' },
} as const;
