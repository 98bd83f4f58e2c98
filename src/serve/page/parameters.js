// What a request may be given beside its messages: one table for the form, for what is kept, and for what is sent.

const KEY = "godwit.parameters";

/** @type {{name: string, label: string, hint: string, min: number, max: number, step: string, integer?: boolean, default: string}[]} */
export const NUMBERS = [
  { name: "temperature", label: "Temperature", hint: "0 always takes the likeliest token", min: 0, max: 2, step: "0.1", default: "1" },
  { name: "top_p", label: "Top p", hint: "Share of probability that is drawn from", min: 0, max: 1, step: "0.05", default: "1" },
  { name: "max_tokens", label: "Longest answer", hint: "In tokens, thinking included (max_tokens)", min: 1, max: 1048576, step: "1", integer: true, default: "no limit" },
  { name: "seed", label: "Seed", hint: "Same seed, same answer, bit for bit", min: 0, max: 9007199254740991, step: "1", integer: true, default: "random" },
];

export const DEFAULTS = { model: "", system: "", thinking: true, temperature: null, top_p: null, max_tokens: null, seed: null };

/** What is wrong with a number as it was typed, or null. An empty field leaves the choice to the server. */
export function numberProblem(field, typed) {
  if (typed.trim() === "") return null;
  const value = Number(typed);
  if (!Number.isFinite(value) || value < field.min || value > field.max) return `${field.label} is a number from ${field.min} to ${field.max}.`;
  return field.integer && !Number.isInteger(value) ? `${field.label} is a whole number.` : null;
}

/** Parameters of the right types, whatever they came from. */
export function checkedParameters(value) {
  const given = value !== null && typeof value === "object" ? value : {};
  const parameters = { ...DEFAULTS };
  for (const name of ["model", "system"]) if (typeof given[name] === "string") parameters[name] = given[name];
  if (typeof given.thinking === "boolean") parameters.thinking = given.thinking;
  for (const field of NUMBERS) {
    if (typeof given[field.name] === "number" && numberProblem(field, String(given[field.name])) === null) parameters[field.name] = given[field.name];
  }
  return parameters;
}

export function loadParameters() {
  try {
    return checkedParameters(JSON.parse(localStorage.getItem(KEY)));
  } catch {
    return { ...DEFAULTS };
  }
}

export function saveParameters(parameters) {
  // Without a seed: one that was set for one conversation would make every later one repeat itself.
  localStorage.setItem(KEY, JSON.stringify({ ...parameters, seed: null, system: "" }));
}

/** The body of a request without its stream options. */
export function requestBody(parameters, messages) {
  const body = { model: parameters.model, messages, thinking: { type: parameters.thinking ? "enabled" : "disabled" } };
  for (const { name } of NUMBERS) if (parameters[name] !== null) body[name] = parameters[name];
  return body;
}
