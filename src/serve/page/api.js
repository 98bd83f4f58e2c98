// The server, as OpenAI's and DeepSeek's clients see it. Addresses are relative to the page, so that it works behind any prefix.

import { readEvents } from "./sse.js";

const KEY = "godwit.api-key";

/** The key is kept for this tab only. */
export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

/** What went wrong, as the server said it. `status` 0: no answer at all. */
export class ApiError extends Error {
  constructor({ status = 0, code = null, message = "", param = null, retryAfter = null }) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

// Retry-After is seconds or a date.
function secondsFrom(header) {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

function errorFrom(object, status, retryAfter = null) {
  const error = object?.error ?? object;
  const message = typeof error === "string" ? error : error?.message;
  return new ApiError({ status, code: error?.code ?? error?.type ?? null, message: String(message ?? ""), param: error?.param ?? null, retryAfter });
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "unreachable" });
  }
  if (response.ok) return response;
  const text = await response.text().catch(() => "");
  let object = text.slice(0, 500);
  try {
    object = JSON.parse(text);
  } catch {
    // A proxy's page; its first lines are what there is to say.
    if (/^\s*</.test(text)) object = "";
  }
  throw errorFrom(object, response.status, secondsFrom(response.headers.get("Retry-After")));
}

/** @returns {Promise<{id: string, [name: string]: unknown}[]>} */
export async function listModels(signal) {
  const list = await (await request("v1/models", { signal })).json();
  return (list.data ?? []).filter((model) => typeof model?.id === "string");
}

/**
 * Asks for an answer. Yields {waiting} while the server only keeps the line alive, and each chunk of the answer as it is.
 * Throws ApiError also for an error inside the stream, and for a stream that breaks off before the answer's end.
 */
export async function* streamCompletion(body, signal) {
  const response = await request("v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  let finished = false;
  try {
    for await (const event of readEvents(response.body)) {
      if (event.comment !== undefined) {
        yield { waiting: true };
        continue;
      }
      if (event.data.trim() === "[DONE]") return;
      let chunk;
      try {
        chunk = JSON.parse(event.data);
      } catch {
        throw new ApiError({ code: "not_json", message: event.data.slice(0, 200) });
      }
      if (chunk.error) throw errorFrom(chunk, Number(chunk.error.code) || Number(chunk.error.status) || 500);
      if (chunk.choices?.[0]?.finish_reason) finished = true;
      yield { chunk };
    }
  } catch (error) {
    if (error instanceof ApiError || error.name === "AbortError") throw error;
    throw new ApiError({ code: "connection_lost" });
  }
  // Some servers end without [DONE]; that is only an error when the answer had not ended either.
  if (!finished) throw new ApiError({ code: "connection_lost" });
}
