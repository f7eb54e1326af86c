// ai-sdk-ollama, the Vercel AI SDK's provider for the native API: text, streaming, tools, objects, embeddings.
import assert from "node:assert/strict";
import { embed, embedMany, generateObject, generateText, streamObject, streamText, tool } from "ai";
import { createOllama, generateText as enhanced } from "ai-sdk-ollama";
import { Ollama } from "ollama";
import { z } from "zod";

const ollama = createOllama({ baseURL: process.env.CORRAL_URL });
const short = { prompt: "What is the capital of France?", maxOutputTokens: 16, temperature: 0 };

const { text, usage, finishReason } = await generateText({ model: ollama("smollm2"), ...short });
assert.match(text, /Paris/);
assert.ok(["stop", "length"].includes(finishReason));
assert.ok(usage.outputTokens > 0 && usage.inputTokens > 0);

let streamed = "";
for await (const part of streamText({ model: ollama("smollm2"), ...short }).textStream) streamed += part;
assert.equal(streamed, text);

const { toolCalls } = await generateText({
  model: ollama("smollm2-tools"),
  prompt: "What is the weather in Oslo?",
  maxOutputTokens: 48,
  temperature: 0,
  tools: {
    get_weather: tool({
      description: "Get the current weather of a city",
      inputSchema: z.object({ city: z.string().describe("The city's name") }),
    }),
  },
});
assert.equal(toolCalls[0].toolName, "get_weather");
assert.deepEqual(toolCalls[0].input, { city: "Oslo" });

// --- objects ---
const schema = z.object({ name: z.string().max(40), age: z.number().int().min(0).max(120) });
const person = { model: ollama("smollm2"), schema, prompt: "Ada is 36 years old.", temperature: 0, maxOutputTokens: 64 };
const { object } = await generateObject(person);
assert.deepEqual(schema.parse(object), object);
const { partialObjectStream, object: whole } = streamObject(person);
let partial;
for await (partial of partialObjectStream);
assert.deepEqual(partial, await whole);
const structured = await generateText({
  model: ollama("smollm2", { structuredOutputs: true }),
  prompt: "Generate JSON with a message field",
  temperature: 0,
  maxOutputTokens: 100,
});
assert.ok(structured.text.length > 0);

// --- options of the native API, a model that is kept, a client of one's own ---
const advanced = ollama("smollm2", { keep_alive: "10m", options: { mirostat: 2, repeat_penalty: 1.1, num_ctx: 1024 } });
assert.ok((await generateText({ model: advanced, ...short, topP: 0.9 })).text);
assert.ok((await generateText({ model: ollama("smollm2", { keep_alive: 3600 }), ...short })).text);
const client = new Ollama({ host: process.env.CORRAL_URL });
const shared = createOllama({ client });
assert.equal((await generateText({ model: shared("smollm2"), ...short })).text, text);
assert.ok((await client.list()).models.length > 0);
const own = createOllama({ baseURL: process.env.CORRAL_URL, headers: { "Custom-Header": "value" }, apiKey: "k" });
assert.equal((await generateText({ model: own("smollm2"), ...short })).text, text);

// --- tools that are run, and an answer made of what they gave ---
const told = await enhanced({
  model: ollama("smollm2-tools"),
  prompt: "What is the weather in Oslo?",
  maxOutputTokens: 48,
  temperature: 0,
  tools: {
    get_weather: tool({
      description: "Get the current weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => ({ city, weather: "11 degrees and rain" }),
    }),
  },
});
assert.ok(told.text.length > 0);
await assert.rejects(
  generateText({ model: ollama("smollm2"), prompt: "Hi", maxRetries: 0, tools: { none: tool({ inputSchema: schema }) } }),
  /does not support tools/,
);

// --- embeddings ---
const { embedding } = await embed({ model: ollama.embedding("minilm"), value: "sunny day at the beach" });
assert.equal(embedding.length, 384);
const { embeddings } = await embedMany({ model: ollama.embedding("minilm"), values: ["sunny day", "rainy night"] });
assert.deepEqual(embeddings.map((vector) => vector.length), [384, 384]);
