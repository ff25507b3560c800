// What Anthropic's official Node client sends and gets, against a running gateway. Prints one JSON document.
//   node anthropic_client.mjs BASE_URL KEY MODEL

import Anthropic from "@anthropic-ai/sdk";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey, maxRetries: 0 });
const weather = { name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } };
const request = {
  model,
  max_tokens: 50,
  system: "Answer shortly.",
  tools: [weather],
  messages: [
    { role: "user", content: "What is the weather in Bern?" },
    { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Bern" } }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "sunny" }] },
  ],
};

const found = {};
const { data, response } = await client.messages.create(request).withResponse();
found.whole = data.content[0].text;
found.served = response.headers.get("x-equirouter-model");
found.usage = data.usage.input_tokens + data.usage.output_tokens;

const stream = client.messages.stream(request);
found.kinds = [];
for await (const event of stream) found.kinds.push(event.type);
const final = await stream.finalMessage();
found.streamed = final.content[0].text;
found.streamUsage = final.usage.input_tokens + final.usage.output_tokens;
found.counted = (await client.messages.countTokens({ model, messages: request.messages })).input_tokens;

try {
  await client.messages.create({ ...request, model: "equirouter/budget-cheap" });
} catch (error) {
  found.error = { status: error.status, type: error.error?.error?.type, message: error.message };
}
console.log(JSON.stringify(found));
