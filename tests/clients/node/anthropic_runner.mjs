// @anthropic-ai/sdk: the tool runner, which keeps conversations in threads unless a server says it has none.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";

const client = new Anthropic();
const model = "smollm2-tools";
const question = { role: "user", content: "What is the weather in Oslo?" };
const name = "get_weather";
const description = "Get the current weather of a city.";
const asked = [];
const run = async ({ city }) => {
  asked.push(city);
  return "11 degrees and rain";
};
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [
  betaTool({ name, description, inputSchema: schema, run }),
  betaZodTool({ name, description, inputSchema: z.object({ city: z.string() }), run }),
];

for (const tool of tools) {
  const told = [];
  const runner = client.beta.messages.toolRunner({
    model,
    max_tokens: 64,
    messages: [question],
    tools: [tool],
    max_iterations: 2,
  });
  for await (const message of runner) told.push(message);
  assert.deepEqual(asked.splice(0), ["Oslo"]);
  assert.equal(told[0].stop_reason, "tool_use");
  const call = told[0].content.find((block) => block.type === "tool_use");
  const counted = await client.messages.countTokens({
    model,
    tools: [{ name, description, input_schema: tool.input_schema }],
    messages: [
      question,
      { role: "assistant", content: told[0].content },
      { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "11 degrees and rain" }] },
    ],
  });
  assert.equal(told[1].usage.input_tokens, counted.input_tokens); // the model saw the whole conversation
}
