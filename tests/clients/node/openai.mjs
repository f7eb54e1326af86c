// openai for JavaScript: chat, streaming, tools, completions, models, errors.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const short = { model: "smollm2", messages, max_tokens: 16, temperature: 0 };

const completion = await client.chat.completions.create(short);
const answer = completion.choices[0].message.content;
assert.match(answer, /Paris/);
assert.ok(["stop", "length"].includes(completion.choices[0].finish_reason));
assert.equal(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens);

let text = "";
let usage;
for await (const chunk of await client.chat.completions.create({
  ...short,
  stream: true,
  stream_options: { include_usage: true },
})) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(text, answer);
assert.deepEqual(usage.completion_tokens, completion.usage.completion_tokens);

const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const called = await client.chat.completions.create({
  model: "smollm2-tools",
  messages: [{ role: "user", content: "What is the weather in Oslo?" }],
  tools: [tool],
  max_tokens: 48,
  temperature: 0,
});
assert.equal(called.choices[0].finish_reason, "tool_calls");
assert.deepEqual(JSON.parse(called.choices[0].message.tool_calls[0].function.arguments), { city: "Oslo" });

const runner = client.chat.completions.stream(short);
assert.equal((await runner.finalChatCompletion()).choices[0].message.content, answer);

const listed = [];
for await (const model of client.models.list()) listed.push(model.id);
assert.ok(listed.some((id) => id.startsWith("smollm2")));
await assert.rejects(client.chat.completions.create({ ...short, model: "missing" }), OpenAI.NotFoundError);
