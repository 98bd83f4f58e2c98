// One answer being made: chunks of the stream → fields of a message, with the times a reader wants to know.

import { ApiError, streamCompletion } from "./api.js";

/**
 * @typedef {object} Progress
 * @property {"sent"|"queued"|"thinking"|"answering"} phase
 */

// After so long without a pause the page gets its turn: a fast server fills the buffer faster than it is read, and reading alone never yields.
const TURN_MS = 12;

// Not setTimeout, which a hidden tab is granted once a second.
const turns = new MessageChannel();
const waiting = [];
turns.port1.onmessage = () => waiting.shift()();

function otherTasksFirst() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    turns.port2.postMessage(null);
  });
}

export class Answer {
  /**
   * @param {import("./conversation.js").Message} message  filled while the answer arrives
   * @param {object} request       the body of the request
   * @param {() => void} changed   called after each chunk
   */
  constructor(message, request, changed) {
    this.message = message;
    this.request = request;
    this.changed = changed;
    this.controller = new AbortController();
    this.phase = "sent";
    this.started = performance.now();
    this.deltas = 0;
    this.firstAt = null;
    this.lastAt = null;
    this.thinkingSince = null;
  }

  stop() {
    this.controller.abort();
  }

  /** Milliseconds of thinking so far. */
  thinkingMs() {
    return this.message.thinkingMs ?? (this.thinkingSince === null ? 0 : performance.now() - this.thinkingSince);
  }

  /** Tokens a second since the first; a delta counts as a token until the server has counted. */
  speed() {
    const tokens = this.message.usage?.completion_tokens ?? this.deltas;
    const seconds = (this.lastAt - this.firstAt) / 1000;
    // The first token's own time is that of reading the question; of a moment nothing can be said.
    return tokens > 1 && seconds > 0.1 ? (tokens - 1) / seconds : null;
  }

  /** Runs to the end. Never throws: what went wrong is in message.error. */
  async run() {
    let turn = performance.now();
    try {
      for await (const event of streamCompletion(this.request, this.controller.signal)) {
        if (event.waiting) {
          if (this.phase === "sent") this.phase = "queued";
        } else {
          this.take(event.chunk);
        }
        this.changed();
        if (performance.now() - turn > TURN_MS) {
          await otherTasksFirst();
          turn = performance.now();
        }
      }
    } catch (error) {
      if (error.name === "AbortError") {
        this.message.finish = "stopped";
      } else {
        const { status = 0, code = null, param = null, retryAfter = null } = error;
        this.message.error = { status, code, param, message: error.message, ...(retryAfter === null ? {} : { retryAt: Date.now() + retryAfter * 1000 }) };
        if (!(error instanceof ApiError)) console.error(error);
      }
    }
    this.endThinking();
    const speed = this.speed();
    if (speed !== null) this.message.tokensPerSecond = speed;
    if (!this.message.usage && this.deltas > 0) this.message.deltas = this.deltas;
  }

  take(chunk) {
    const { message } = this;
    if (chunk.usage) message.usage = flatUsage(chunk.usage);
    if (chunk.system_fingerprint) message.fingerprint = String(chunk.system_fingerprint);
    if (chunk.model) message.model = String(chunk.model);
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const reasoning = choice.delta?.reasoning_content;
    const content = choice.delta?.content;
    if (reasoning || content) {
      this.lastAt = performance.now();
      ++this.deltas;
      if (this.firstAt === null) {
        this.firstAt = this.lastAt;
        message.firstMs = this.firstAt - this.started;
      }
    }
    if (reasoning) {
      this.phase = "thinking";
      this.thinkingSince ??= this.lastAt;
      message.reasoning = (message.reasoning ?? "") + reasoning;
    }
    if (content) {
      this.endThinking();
      this.phase = "answering";
      message.content += content;
    }
    if (choice.finish_reason) message.finish = String(choice.finish_reason);
  }

  endThinking() {
    if (this.thinkingSince !== null) this.message.thinkingMs ??= performance.now() - this.thinkingSince;
  }
}

// The counts this page shows, from where OpenAI's and DeepSeek's usage objects have them.
function flatUsage(usage) {
  const counts = {
    prompt_tokens: usage.prompt_tokens,
    completion_tokens: usage.completion_tokens,
    reasoning_tokens: usage.completion_tokens_details?.reasoning_tokens,
    cached_tokens: usage.prompt_cache_hit_tokens ?? usage.prompt_tokens_details?.cached_tokens,
  };
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => Number.isFinite(count)));
}
