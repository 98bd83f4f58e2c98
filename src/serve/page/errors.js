// Errors in words: what happened, and what to do.

/**
 * @typedef {object} Explanation
 * @property {string} title
 * @property {string} advice
 * @property {"retry"|"key"|"models"|null} action  what the page offers beside the words
 * @property {number|null} wait  seconds before trying again makes sense
 */

const said = (error) => (error.message ? ` The server says: “${error.message}”` : "");

/** @returns {Explanation} */
export function explain(error) {
  // A stored error is shown again later: what counts is how long is left.
  const left = error.retryAt === undefined ? error.retryAfter ?? 0 : (error.retryAt - Date.now()) / 1000;
  const wait = left > 0 ? Math.ceil(left) : null;
  const make = (title, advice, action = "retry") => ({ title, advice, action, wait });
  const text = `${error.code ?? ""} ${error.message ?? ""}`;
  if (error.code === "connection_lost") {
    return make("The connection was lost before the answer was complete.", "What had arrived is kept. Check that the server is running and within reach, then try again.");
  }
  if (error.code === "unreachable") return make("The server cannot be reached.", "Check that it is running and that this machine has a connection to it, then try again.");
  if (error.code === "not_json") return make("The server sent something that is not an answer.", `Something between this page and the server may have changed it.${said(error)}`);
  switch (error.status) {
    case 400: case 413: case 422:
      if (error.status === 413 || /context|too.?long|maximum.*tokens|exceed/i.test(text)) {
        return make("The conversation is longer than the model can read.", `Start a new chat, shorten an earlier question, or lower “Longest answer” in the parameters.${said(error)}`, null);
      }
      return make("The server refused the request.", `${error.param ? `It names the parameter “${error.param}”; see the parameters.` : "Check the parameters."}${said(error)}`);
    case 401: return make("This server asks for an API key.", error.message && /invalid|incorrect|wrong/i.test(error.message) ? "It did not accept the one it was given." : "Whoever runs the server has it.", "key");
    case 403: return make("This API key may not do that.", `Ask whoever runs the server, or use another key.${said(error)}`, "key");
    case 404: return make("The server does not know this model.", `Choose another one at the top of the page.${said(error)}`, "models");
    case 429: return make("The server is busy.", wait ? "It has as many questions as it can take for now." : "It has as many questions as it can take. Wait a little, then try again.");
    case 503: return make(/load/i.test(text) ? "The model is still being loaded." : "The server cannot answer right now.", wait ? "It says when to try again." : "Try again in a moment.");
    case 502: case 504: return make("Nothing answers behind the gateway.", "The server may be starting or may have stopped. Try again in a moment.");
    case 0: return make("Something went wrong in this page.", `${error.message}`);
    default: return make("The server failed on this question.", `Try again; if it fails again, its log says more.${said(error)}`);
  }
}

/** Why an answer ended early, or null if it did not. */
export function explainFinish(reason) {
  switch (reason) {
    case "length": return "The answer was cut at its longest length. “Longest answer” in the parameters raises it.";
    case "content_filter": return "The server withheld the rest of the answer.";
    case "insufficient_system_resource": return "The server ran out of resources in the middle of the answer.";
    case "stopped": return "Stopped.";
    default: return null;
  }
}
