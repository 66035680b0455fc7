import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiEnv, App, AppDeps } from './context.ts';
import { registerDocs } from './docs.ts';
import { handleError, handleNotFound, invalidRequest, zodValidations } from './errors.ts';
import { beginRequest, noteRoute } from './middleware/request.ts';
import { securityHeaders } from './middleware/security-headers.ts';
import { registerGeneralRoutes } from './routes/general.ts';
import { registerHealthRoutes } from './routes/health.ts';

/** One line per resource; fixed paths come before those with a parameter in the same place. */
const resources: readonly ((app: App, deps: AppDeps) => void)[] = [registerHealthRoutes, registerGeneralRoutes];

/** The whole HTTP API over the given dependencies; no port, no process state. */
export function createApp(deps: AppDeps): App {
  const app: App = new OpenAPIHono<ApiEnv>({
    defaultHook: (result, c) =>
      result.success ? undefined : c.json(invalidRequest(zodValidations(result.error)), 400),
  });
  app.use('*', beginRequest(deps));
  app.use('*', noteRoute);
  app.use('*', securityHeaders);
  app.onError(handleError);
  app.notFound(handleNotFound);
  for (const register of resources) register(app, deps);
  registerDocs(app);
  return app;
}
