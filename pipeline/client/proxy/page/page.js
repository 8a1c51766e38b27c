// The proxy's page: a conversation with one service. It asks this server alone, and keeps nothing once it is closed.
"use strict";

const at = (id) => document.getElementById(id);
const [service, system, most, temperature] = ["service", "system", "most", "temperature"].map(at);
const [talk, state, form, question, send, stop, locked, key] =
  ["talk", "state", "form", "question", "send", "stop", "locked", "key"].map(at);

let said = []; // what was said so far, as `messages`
let ending = null; // ends the answer that is under way

const gone = "The proxy does not answer: is it still running?";
const cut = "The answer broke off: is the proxy still running?";

// Says what a connection that fails means, in place of the browser's own words.
const saying = (words) => (error) => {
  throw error.name === "AbortError" ? error : new Error(words);
};

const headers = () => (key.value ? { Authorization: `Bearer ${key.value}` } : {});

async function failure(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `HTTP ${response.status}: ${text.slice(0, 500)}`;
  }
}

async function look() {
  state.textContent = "Looking for services ...";
  const chosen = service.value;
  try {
    const response = await fetch("/v1/models", { headers: headers() });
    locked.hidden = response.status !== 401 && !key.value;
    if (!response.ok) {
      const why = await failure(response);
      show([], "no services to be seen");
      state.textContent = why;
      if (response.status === 401) key.focus();
      return;
    }
    const names = (await response.json()).data.map((one) => one.id);
    show(names, "no service serves");
    if (names.includes(chosen)) service.value = chosen;
    state.textContent = names.length ? "" : "No service serves yet: deploy one, then refresh.";
  } catch {
    show([], "no services to be seen");
    state.textContent = gone;
  }
}

function show(names, none) {
  service.replaceChildren(...(names.length ? names : [none]).map((name) => new Option(name, name)));
  service.disabled = send.disabled = names.length === 0;
}

function part(parent, kind, name, text = "") {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = text;
  parent.append(made);
  return made;
}

function turn(who, name) {
  const made = part(talk, "article", name);
  part(made, "h2", "who", who);
  return made;
}

// Whoever has scrolled up to read is left there.
function follow(change) {
  const below = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 40;
  change();
  if (below) talk.scrollTop = talk.scrollHeight;
}

// Yields the JSON of each event as it comes, however the bytes are cut; ends at [DONE].
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read().catch(saying(cut));
    held += done ? "\n" : value;
    const lines = held.split("\n");
    held = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
    if (done) return;
  }
}

function body() {
  const messages = system.value.trim() ? [{ role: "system", content: system.value }] : [];
  const asked = { model: service.value, messages: [...messages, ...said], stream: true };
  asked.stream_options = { include_usage: true };
  if (most.value) asked.max_tokens = Number(most.value);
  if (temperature.value) asked.temperature = Number(temperature.value);
  return JSON.stringify(asked);
}

function figures(seen, begun, first) {
  const seconds = (performance.now() - begun) / 1000;
  const told = [`${seconds.toFixed(1)} s`];
  if (first !== null) told.push(`first word after ${((first - begun) / 1000).toFixed(1)} s`);
  if (seen.tokens) told.push(`${seen.tokens} tokens`);
  if (seen.rate) told.push(`${seen.rate.toFixed(1)} tokens/s`);
  if (seen.finish === "length") told.push("cut at its greatest length");
  return told.join(", ");
}

async function ask() {
  const text = question.value.trim();
  if (!text || ending || send.disabled) return;
  const conversation = said; // another one begins where it is cleared meanwhile
  conversation.push({ role: "user", content: text });
  part(turn("You", "user"), "div", "text", text);
  question.value = "";
  const answer = turn(service.value, "assistant");
  const thoughts = part(answer, "div", "thoughts");
  const shown = part(answer, "div", "text");
  const seen = { tokens: 0, rate: 0, finish: "" };
  talk.scrollTop = talk.scrollHeight;
  const begun = performance.now();
  let [first, took, whole] = [null, null, ""];
  ending = new AbortController();
  send.hidden = true;
  stop.hidden = false;
  talk.setAttribute("aria-busy", "true");
  const clock = setInterval(() => {
    if (first !== null) return;
    const seconds = Math.round((performance.now() - begun) / 1000);
    state.textContent = `Waiting for the answer, ${seconds} s` +
      (seconds > 10 ? ": a serverless endpoint starts a container first, which takes up to 3 minutes." : "");
  }, 1000);
  state.textContent = "Waiting for the answer ...";
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: body(),
      signal: ending.signal,
    }).catch(saying(gone));
    if (!response.ok) throw new Error(await failure(response));
    for await (const event of events(response.body)) {
      if (event.error) throw new Error(event.error.message);
      if (event.usage) seen.tokens = event.usage.completion_tokens;
      if (event.timings && event.timings.predicted_per_second) seen.rate = event.timings.predicted_per_second;
      for (const choice of event.choices || []) {
        const delta = choice.delta || {};
        if (choice.finish_reason) seen.finish = choice.finish_reason;
        if (!delta.content && !delta.reasoning_content) continue;
        if (first === null) {
          first = performance.now();
          state.textContent = "Answering ...";
        }
        whole += delta.content || "";
        follow(() => {
          thoughts.append(delta.reasoning_content || "");
          shown.append(delta.content || "");
        });
      }
    }
    // Without the server's own clock, by this one: from the first word on.
    if (!seen.rate && seen.tokens > 1 && first !== null && performance.now() - first > 50) {
      seen.rate = (seen.tokens - 1) / ((performance.now() - first) / 1000);
    }
    took = figures(seen, begun, first);
    state.textContent = "Answered.";
  } catch (error) {
    if (error.name === "AbortError") {
      took = `stopped after ${((performance.now() - begun) / 1000).toFixed(1)} s`;
      state.textContent = "Stopped.";
    } else {
      if (conversation === said) follow(() => part(turn("Not answered", "failed"), "div", "text", error.message));
      state.textContent = "Not answered.";
    }
  } finally {
    clearInterval(clock);
    // What was not answered is not said again with the next question.
    if (whole) {
      conversation.push({ role: "assistant", content: whole });
    } else {
      conversation.pop();
      question.value ||= text;
    }
    if (!whole && !thoughts.textContent) answer.remove();
    else if (took) follow(() => part(answer, "div", "figures", took));
    ending = null;
    send.hidden = false;
    stop.hidden = true;
    talk.removeAttribute("aria-busy");
    question.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && ending) ending.abort();
});
stop.addEventListener("click", () => ending && ending.abort());
at("again").addEventListener("click", look);
locked.addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});
at("clear").addEventListener("click", () => {
  if (ending) ending.abort();
  said = [];
  talk.replaceChildren();
  state.textContent = "";
  question.focus();
});
look();
