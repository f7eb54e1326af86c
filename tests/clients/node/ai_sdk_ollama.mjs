// ai-sdk-ollama, the Vercel AI SDK's provider for the native API: text, streaming, tools.
import assert from "node:assert/strict";
import { generateText, streamText, tool } from "ai";
import { createOllama } from "ai-sdk-ollama";
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
