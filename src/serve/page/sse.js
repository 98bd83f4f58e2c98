// Server-sent events out of a fetch response: EventSource cannot send a question with POST.

/**
 * Yields {data} for each event and {comment} for each comment, such as ": keep-alive". Characters split between two chunks are joined.
 * @param {ReadableStream<Uint8Array>} body
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      // A carriage return at the end may be half of a line's end: it waits for what follows.
      const ends = /\r\n|\n|\r(?!$)/g;
      let from = 0;
      for (let end; (end = ends.exec(rest)); from = ends.lastIndex) {
        const line = rest.slice(from, end.index);
        if (line === "") {
          if (data.length > 0) yield { data: data.join("\n") };
          data = [];
        } else if (line.startsWith(":")) {
          yield { comment: line.slice(1).trim() };
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
      rest = rest.slice(from);
      if (done) {
        // A server that ends without the last empty line has still said this.
        if (rest.startsWith("data:")) data.push(rest.slice(5).trim());
        if (data.length > 0) yield { data: data.join("\n") };
        return;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
