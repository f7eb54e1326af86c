// openai for JavaScript: chat, responses, streaming, tools, embeddings, models, raw answers, retries, timeouts, errors.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

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

// --- the runner of tools, and answers that zod describes ---
const asking = [];
const tools = client.chat.completions.runTools(
  {
    model: "smollm2-tools",
    messages: [{ role: "user", content: "What is the weather in Oslo?" }],
    max_tokens: 48,
    temperature: 0,
    tools: [
      {
        type: "function",
        function: {
          ...tool.function,
          parse: JSON.parse,
          function: async ({ city }) => {
            asking.push(city);
            return "11 degrees and rain";
          },
        },
      },
    ],
  },
  { maxChatCompletions: 2 },
);
await tools.done();
assert.deepEqual(asking, ["Oslo"]);
assert.deepEqual(tools.messages.map(({ role }) => role), ["user", "assistant", "tool", "assistant"]);

const City = z.object({ city: z.string().max(20), country: z.string().max(20) });
const told = { model: "smollm2", messages: [{ role: "user", content: "Paris is the capital of France." }], temperature: 0 };
const shaped = await client.chat.completions.parse({
  ...told,
  max_tokens: 64,
  response_format: zodResponseFormat(City, "city"),
});
assert.ok(City.safeParse(shaped.choices[0].message.parsed).success);
const spoken = await client.responses.parse({
  model: "smollm2",
  input: "Paris is the capital of France.",
  temperature: 0,
  max_output_tokens: 64,
  text: { format: zodTextFormat(City, "city") },
});
assert.ok(City.safeParse(spoken.output_parsed).success);
const Ages = z.object({ ages: z.record(z.enum(["ann", "bob"]), z.int().min(0).max(99)) });
const counted = await client.chat.completions.parse({
  ...told,
  messages: [{ role: "user", content: "Ann is 5 and Bob is 7." }],
  max_tokens: 96,
  response_format: { type: "json_schema", json_schema: { name: "ages", schema: z.toJSONSchema(Ages) } },
});
assert.ok(Ages.safeParse(JSON.parse(counted.choices[0].message.content)).success);

const listed = [];
for await (const model of client.models.list()) listed.push(model.id);
assert.ok(listed.some((id) => id.startsWith("smollm2")));
await assert.rejects(client.chat.completions.create({ ...short, model: "missing" }), OpenAI.NotFoundError);

// --- responses ---
const asked = {
  model: "smollm2",
  instructions: "Be brief.",
  input: "What is the capital of France?",
  temperature: 0,
  max_output_tokens: 16,
};
const response = await client.responses.create(asked);
assert.match(response.output_text, /Paris/);
assert.match(response._request_id, /^req_/);
let said = "";
const kinds = [];
for await (const event of await client.responses.create({ ...asked, stream: true })) {
  kinds.push(event.type);
  if (event.type === "response.output_text.delta") said += event.delta;
}
assert.equal(said, response.output_text);
assert.equal(kinds[0], "response.created");
assert.equal(kinds.at(-1), "response.completed");

const again = [];
for await (const event of await client.responses.retrieve(response.id, { stream: true })) again.push(event.type);
assert.deepEqual([again[0], again.at(-1)], ["response.created", "response.completed"]);
const heard = [];
for await (const item of client.responses.inputItems.list(response.id)) heard.push(item);
assert.deepEqual(heard.map(({ type, role }) => [type, role]), [["message", "user"]]);
const { temperature, max_output_tokens, ...counting } = asked;
assert.equal((await client.responses.inputTokens.count(counting)).input_tokens, response.usage.input_tokens);

// --- the developer's word, fields it does not know ---
const pirate = await client.chat.completions.create({
  ...short,
  messages: [{ role: "developer", content: "Talk like a pirate." }, ...messages],
  baz: "undocumented option",
});
assert.ok(pirate.choices[0].message.content);

// --- embeddings ---
const texts = ["The cat sat on the mat.", "Shares fell on Monday."];
const embedded = await client.embeddings.create({ model: "minilm", input: texts });
assert.deepEqual(embedded.data.map((row) => row.embedding.length), [384, 384]);
const plain = await client.embeddings.create({ model: "minilm", input: texts[0], encoding_format: "float" });
assert.ok(plain.data[0].embedding.every((x, i) => Math.abs(x - embedded.data[0].embedding[i]) < 1e-6));

// --- raw answers, pages, paths without a method ---
const http = await client.responses.create(asked).asResponse();
assert.equal(http.headers.get("content-type"), "application/json; charset=utf-8");
const { data, response: raw, request_id } = await client.responses.create(asked).withResponse();
assert.equal(data.output_text, response.output_text);
assert.equal(raw.headers.get("x-request-id"), request_id);
const page = await client.models.list();
assert.ok(page.data.length >= 3);
assert.equal(page.hasNextPage(), false);
assert.equal((await client.get("/models")).object, "list");

// --- retries, timeouts, errors ---
assert.equal((await client.chat.completions.create(short, { maxRetries: 5 })).choices[0].message.content, answer);
const story = [{ role: "user", content: "Tell me a very long story about a dragon and a knight." }];
await assert.rejects(
  client.chat.completions.create({ ...short, messages: story, max_tokens: 1500 }, { timeout: 200 }),
  OpenAI.APIConnectionTimeoutError,
);
const refused = await client.fineTuning.jobs
  .create({ model: "gpt-4o", training_file: "file-abc123" })
  .catch((error) => error);
assert.ok(refused instanceof OpenAI.APIError);
assert.deepEqual([refused.status, refused.constructor.name], [404, "NotFoundError"]);
const missing = await client.chat.completions.create({ ...short, model: "missing" }).catch((error) => error);
assert.match(missing.requestID ?? missing.request_id, /^req_/);
assert.equal(missing.type, "not_found_error");
await assert.rejects(client.post("/some/path", { body: { some_prop: "foo" }, query: { some_query_arg: "bar" } }), {
  status: 404,
});
