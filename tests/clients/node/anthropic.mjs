// @anthropic-ai/sdk: messages, streaming, the stream helper, tools, counting, abort, errors.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic();
const model = "smollm2";
const messages = [{ role: "user", content: "What is the capital of France?" }];

const message = await client.messages.create({ max_tokens: 16, messages, model });
assert.equal(message.type, "message");
assert.match(message.content[0].text, /Paris/);
assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
assert.match(message._request_id, /^req_/);

const counted = await client.messages.countTokens({ messages, model });
assert.equal(counted.input_tokens, message.usage.input_tokens);

let text = "";
const kinds = [];
for await (const event of await client.messages.create({ max_tokens: 16, messages, model, stream: true })) {
  kinds.push(event.type);
  if (event.type === "content_block_delta") text += event.delta.text;
}
assert.equal(text, message.content[0].text);
assert.equal(kinds[0], "message_start");
assert.equal(kinds.at(-1), "message_stop");

const heard = [];
const helper = client.messages.stream({ max_tokens: 16, messages, model }).on("text", (part) => heard.push(part));
const final = await helper.finalMessage();
assert.equal(heard.join(""), text);
assert.equal(final.content[0].text, text);
assert.equal(final.stop_reason, message.stop_reason);

const tools = [
  {
    name: "get_weather",
    description: "Get the current weather of a city.",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
const asked = await client.messages
  .stream({
    max_tokens: 64,
    messages: [{ role: "user", content: "What is the weather in Oslo?" }],
    tools,
    model: "smollm2-tools",
  })
  .finalMessage();
assert.equal(asked.stop_reason, "tool_use");
const call = asked.content.at(-1);
assert.deepEqual([call.type, call.name, call.input], ["tool_use", "get_weather", { city: "Oslo" }]);

const ids = [];
for await (const each of client.models.list({ limit: 2 })) ids.push(each.id);
assert.ok(ids.length > 2 && ids.includes("smollm2:latest"));
assert.equal((await client.models.retrieve(model)).display_name, "smollm2:latest");

const leaving = client.messages.stream({ max_tokens: 1000, messages, model });
leaving.on("text", () => leaving.abort());
await assert.rejects(leaving.finalMessage(), Anthropic.APIUserAbortError);

await assert.rejects(client.messages.create({ max_tokens: 16, messages, model: "does-not-yet-exist" }), (error) => {
  assert.ok(error instanceof Anthropic.NotFoundError);
  assert.equal(error.error.error.message, "model 'does-not-yet-exist' not found");
  return true;
});
