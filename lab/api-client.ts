import { z } from 'zod';
import { AppError } from '../common/errors.ts';
import { waitFor } from './processes.ts';
import type { LabState } from './state.ts';

export const apiUrl = (state: Pick<LabState, 'apiPort'>): string => `http://127.0.0.1:${state.apiPort}`;

/** Four seconds of session timeout, an election and a start of the API, several times over on a busy machine. */
const API_TIMEOUT_MS = 120_000;
const REQUEST_TIMEOUT_MS = 10_000;

const nodeList = z.array(z.looseObject({ name: z.string(), daemon_state: z.string() }));

export interface ApiReply {
  status: number;
  body: unknown;
}

/** One call to the cluster's API, with the lab's token; values go into the query for GET and into a form otherwise. */
export async function callApi(state: LabState, method: string, path: string, values: Record<string, string> = {}): Promise<ApiReply> {
  const form = new URLSearchParams(values);
  const query = method === 'GET' && form.size > 0 ? `?${form.toString()}` : '';
  const response = await fetch(`${apiUrl(state)}${path}${query}`, {
    method,
    // The API moves between hosts: a connection that was kept would end at one that has gone.
    headers: { 'X-Api-Key': state.token, Connection: 'close' },
    ...(method === 'GET' ? {} : { body: form }),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  }).catch((error: unknown) => {
    throw new AppError('unavailable', 'the API does not answer', { method, path, text: String(error) }, { cause: error });
  });
  const text = await response.text();
  return { status: response.status, body: asJson(text) };
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

/** Returns when the API shows every node of the lab as running. */
export async function waitForApi(state: LabState, signal: AbortSignal): Promise<void> {
  await waitFor({ what: 'the API to show every node running', timeoutMs: API_TIMEOUT_MS, signal }, async () => {
    const nodes = await runningNodes(state);
    return nodes === state.nodes ? true : undefined;
  });
}

/** Whether the API answers anything now. */
export async function apiAnswers(state: LabState): Promise<boolean> {
  try {
    await callApi(state, 'GET', '/api/v1');
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === 'unavailable') return false;
    throw error;
  }
}

async function runningNodes(state: LabState): Promise<number> {
  try {
    const reply = await callApi(state, 'GET', '/api/v1/node');
    const nodes = nodeList.safeParse(reply.body);
    return nodes.success ? nodes.data.filter((node) => node.daemon_state === 'run').length : 0;
  } catch (error) {
    if (error instanceof AppError && error.code === 'unavailable') return 0;
    throw error;
  }
}
