// ollama for JavaScript: chat, streaming, generate, tools, list, show, create, copy, delete, ps, abort, errors.
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

const endless = await client.generate({ model: "smollm2", prompt: "Once", stream: true, options: { ignore_eos: true } });
setTimeout(() => endless.abort(), 300);
await assert.rejects(async () => {
  for await (const part of endless) assert.equal(part.done, false);
}, { name: "AbortError" });

await assert.rejects(client.chat({ model: "missing", messages: [message] }), { message: "model 'missing' not found" });
