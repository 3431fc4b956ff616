import { ENDPOINTS, type Access, type Endpoint } from './endpoints.js';

const WHO: Readonly<Record<Access, string>> = {
  open: 'Needs no token.',
  loopback: 'Needs no token on loopback.',
  operator: 'Needs the control token.',
  read: 'Needs the control token, or one with the role read_only.',
  requests: 'Needs the control token, one with the role read_only, or an app\'s own API key or JWT, which reads that app only.',
  reports: 'Needs the control token, one with the role read_only or billing, or an app\'s own API key or JWT, which reads that app only.',
};

const PROBLEM = { description: 'Problem details (RFC 9457) with `code`.', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } };

/** OpenAPI 3.1 of the control origin. @param version of the program */
export function openApi(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [name, endpoint] of Object.entries<Endpoint>(ENDPOINTS)) {
    const path = endpoint.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[endpoint.method.toLowerCase()] = operation(name, endpoint);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Tidegate control and reports', version },
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Problem: {
          type: 'object', required: ['type', 'title', 'status', 'code'],
          properties: { type: { type: 'string' }, title: { type: 'string' }, status: { type: 'integer' }, code: { type: 'string' }, detail: { type: 'string' } },
        },
      },
    },
  };
}

function operation(name: string, endpoint: Endpoint): Record<string, unknown> {
  const inPath = [...endpoint.path.matchAll(/:(\w+)/g)].map(([, parameter]) => ({ name: parameter, in: 'path', required: true, schema: { type: 'string' } }));
  const inQuery = Object.entries(endpoint.query ?? {}).map(([parameter, schema]) => ({ name: parameter, in: 'query', required: false, schema }));
  const { status, types, description } = endpoint.answers;
  const content = Object.fromEntries(types.map((type) => [type, {}]));
  return {
    operationId: name, summary: endpoint.summary, description: WHO[endpoint.access],
    security: endpoint.access === 'open' ? [] : [{ bearer: [] }],
    parameters: [...inPath, ...inQuery],
    ...(endpoint.body === undefined ? {} : {
      requestBody: { required: endpoint.body.required, content: Object.fromEntries(endpoint.body.types.map((type) => [type, { schema: endpoint.body?.schema }])) },
    }),
    responses: { [status]: { description, ...(types.length === 0 ? {} : { content }) }, default: PROBLEM },
  };
}
