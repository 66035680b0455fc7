import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { App } from './context.ts';
import { ErrorResponse } from './errors.ts';
import { docsPolicy } from './middleware/security-headers.ts';
import { openApiDocument, securitySchemes } from './openapi.ts';
import { packageRoot } from './version.ts';
import { z } from '@hono/zod-openapi';
import { commonResponses, defineRoute } from './route.ts';

/** Everything that could leave the host is off: fonts, telemetry, request proxy, assistant. */
const viewerSettings = {
  url: '/api/v2/openapi.json',
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: '',
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
  authentication: { preferredSecurityScheme: 'sessionToken' },
  metaData: { title: 'Berth API' },
};

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Berth API</title>
<link rel="icon" href="data:,">
</head>
<body>
<div id="app"></div>
<noscript>This page needs JavaScript; the same document is <a href="/api/v2/openapi.json">/api/v2/openapi.json</a>.</noscript>
<script src="/docs/viewer.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;
const start = `Scalar.createApiReference('#app', ${JSON.stringify(viewerSettings)});\n`;

const text = (type: string, description: string) => ({
  200: { description, content: { [type]: { schema: z.string() } } },
});
const documentRoute = (path: string, root: boolean) =>
  defineRoute({
    method: 'get',
    path,
    root,
    access: 'public',
    tags: ['General'],
    summary: 'This document',
    responses: {
      200: {
        description: 'OpenAPI 3.1',
        content: { 'application/json': { schema: z.any().openapi({ type: 'object' }) } },
      },
    },
  });
const pageRoute = (path: string) =>
  defineRoute({
    method: 'get',
    path,
    root: true,
    hide: true,
    access: 'public',
    responses: text('text/html', 'API documentation page'),
  });
const scriptRoute = (path: string) =>
  defineRoute({
    method: 'get',
    path,
    root: true,
    hide: true,
    access: 'public',
    rateLimit: 'none',
    responses: text('text/javascript', 'Script of the documentation page'),
  });

/**
 * The document and a viewer for it, all served from this host (no CDN, no request to anybody else). The viewer is the
 * stand-alone bundle of @scalar/api-reference in `vendor/`, kept compressed as every browser takes it.
 */
export function registerDocs(app: App): void {
  for (const [name, scheme] of Object.entries(securitySchemes))
    app.openAPIRegistry.registerComponent('securitySchemes', name, scheme);
  for (const [name, description] of Object.entries(commonResponses))
    app.openAPIRegistry.registerComponent('responses', name, {
      description,
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Response' } } },
    });
  // Nothing refers to the schema through a route any more, so it is named here.
  app.openAPIRegistry.register('Response', ErrorResponse);
  let document: ReturnType<typeof openApiDocument> | undefined;
  let viewer: Uint8Array<ArrayBuffer> | undefined;
  for (const route of [documentRoute('/openapi.json', false), documentRoute('/swagger/doc.json', true)])
    app.openapi(route, (c) => c.json((document ??= openApiDocument(app)), 200));
  for (const path of ['/docs', '/swagger'])
    app.openapi(pageRoute(path), (c) => {
      c.header('Content-Security-Policy', docsPolicy);
      return c.html(page);
    });
  app.openapi(scriptRoute('/docs/start.js'), (c) =>
    c.body(start, 200, { 'Content-Type': 'text/javascript; charset=utf-8' }),
  );
  app.openapi(scriptRoute('/docs/viewer.js'), (c) => {
    viewer ??= new Uint8Array(readFileSync(join(packageRoot, 'vendor/scalar/standalone.js.gz')));
    return c.body(viewer, 200, {
      'Content-Type': 'text/javascript; charset=utf-8',
      'Content-Encoding': 'gzip',
      'Cache-Control': 'public, max-age=86400',
    });
  });
}
