import { upgradeWebSocket } from '@hono/node-server';
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { WSContext } from 'hono/ws';
import type { WebSocket } from 'ws';
import { requireImported } from '../../commands/create-dry-run.ts';
import { authorizeVersion } from '../../commands/template-row.ts';
import { findVersionView } from '../../db/queries/template-version-views.ts';
import { listParameters } from '../../db/queries/template-versions.ts';
import { evaluateParameters } from '../../domain/evaluated-parameters.ts';
import type { TemplateParameter } from '../../domain/provisioned.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, uuid } from '../schemas.ts';
import { pingEveryMs, requireWebSocket } from '../streams.ts';
import { Diagnostics, PreviewParameter, diagnosticViews, previewView } from '../views/template-parameter.ts';
import { readableVersion } from './template-versions.ts';

const DynamicParametersRequest = z
  .object({
    id: z.number().int().default(0),
    inputs: z.record(z.string(), z.string()).default({}),
    owner_id: z.string().nullish(),
  })
  .openapi('DynamicParametersRequest');
const DynamicParametersResponse = z
  .object({ id: z.number().int(), diagnostics: Diagnostics, parameters: z.array(PreviewParameter) })
  .openapi('DynamicParametersResponse');

const common = {
  tags: ['Template versions'],
  access: { type: 'template', action: 'use' },
} as const;
const params = z.object({ templateversion: uuid() });
const evaluate = defineRoute({
  ...common,
  method: 'post',
  path: '/templateversions/{templateversion}/dynamic-parameters/evaluate',
  summary: 'Parameters of a form for some inputs',
  request: { params, ...jsonBody(DynamicParametersRequest) },
  responses: {
    200: json(DynamicParametersResponse, 'Parameters with values and problems'),
    409: { description: 'The import has not finished' },
  },
});
const watch = defineRoute({
  ...common,
  method: 'get',
  path: '/templateversions/{templateversion}/dynamic-parameters',
  summary: 'The same over a WebSocket: one answer per request, the first one (id -1) for no inputs',
  stream: true,
  request: { params },
  responses: { 101: { description: 'WebSocket' }, 409: { description: 'The import has not finished' } },
});

function answer(parameters: readonly TemplateParameter[], request: { id: number; inputs: Record<string, string> }) {
  const evaluated = evaluateParameters(parameters, request.inputs);
  return {
    id: request.id,
    diagnostics: diagnosticViews(evaluated.diagnostics),
    parameters: evaluated.parameters.map(previewView),
  };
}

/** One request in text form; undefined when it is none. */
function readRequest(text: unknown): z.infer<typeof DynamicParametersRequest> | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    return DynamicParametersRequest.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Live form evaluation of one connection. The definition of an imported version never changes, so it is read once. */
function converse(c: Context<ApiEnv>, parameters: readonly TemplateParameter[]): Promise<Response> {
  const { shutdown } = c.var.deps;
  let timer: NodeJS.Timeout | undefined;
  let socket: WebSocket | undefined;
  const onShutdown = () => socket?.close(1001);
  const stop = () => {
    clearInterval(timer);
    shutdown.removeEventListener('abort', onShutdown);
  };
  const send = (ws: WSContext<unknown>, request: { id: number; inputs: Record<string, string> }) =>
    ws.send(JSON.stringify(answer(parameters, request)));
  return upgradeWebSocket(c, {
    onOpen: (_event, ws) => {
      socket = ws.raw as WebSocket;
      shutdown.addEventListener('abort', onShutdown);
      timer = setInterval(() => {
        socket?.ping();
        void c.var.stillAuthenticated().then((still) => (still ? undefined : socket?.close(1008)));
      }, pingEveryMs);
      send(ws, { id: -1, inputs: {} });
    },
    onMessage: (event, ws) => {
      const request = readRequest(event.data);
      if (request === undefined) ws.close(1003, 'not a request');
      else send(ws, request);
    },
    onClose: stop,
    onError: stop,
  }) as Promise<Response>;
}

/**
 * Evaluation of a creation form. Static: values are checked against the definitions that the import stored; expressions of
 * the template are not evaluated again, and `owner_id` changes nothing. Source: spec/06 §7.
 */
export function registerDynamicParameterRoutes(app: App, deps: AppDeps): void {
  const parametersOf = async (c: Context<ApiEnv>, id: string) => {
    const version = await readableVersion(c, await findVersionView(deps.db, id));
    authorizeVersion({ subject: c.var.subject }, 'use', version);
    requireImported(version);
    return listParameters(deps.db, version.id);
  };
  app.openapi(evaluate, async (c) => {
    const parameters = await parametersOf(c, c.req.valid('param').templateversion);
    return c.json(answer(parameters, c.req.valid('json')), 200);
  });
  app.openapi(watch, async (c) => {
    const parameters = await parametersOf(c, c.req.valid('param').templateversion);
    requireWebSocket(c);
    return (await converse(c, parameters)) as never;
  });
}
