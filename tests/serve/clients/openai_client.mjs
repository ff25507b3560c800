// What the official Node client sends and gets, against a running gateway. Prints one JSON document.
//   node openai_client.mjs BASE_URL KEY MODEL

import OpenAI from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [
  { role: "system", content: "Answer shortly." },
  { role: "user", content: [{ type: "text", text: "What is the weather in Bern?" }] },
  {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bern"}' } },
      { id: "call_2", type: "function", function: { name: "time", arguments: "{}" } },
    ],
  },
  { role: "tool", tool_call_id: "call_1", content: "sunny" },
  { role: "tool", tool_call_id: "call_2", content: "noon" },
];
const tools = ["weather", "time"].map((name) => ({
  type: "function",
  function: {
    name,
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, at: { type: "object", properties: { hour: { type: "integer" } } } },
    },
  },
}));
const request = {
  model,
  messages,
  tools,
  tool_choice: { type: "function", function: { name: "weather" } },
  parallel_tool_calls: true,
  response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema: { type: "object" } } },
  seed: 7,
  stop: ["END"],
  max_completion_tokens: 50,
  metadata: { team: "a" },
};

const found = {};
const { data, response } = await client.chat.completions.create(request).withResponse();
found.whole = data.choices[0].message.content;
found.served = response.headers.get("x-equirouter-model");
found.usage = data.usage?.total_tokens;

const stream = await client.chat.completions.create({
  ...request,
  stream: true,
  stream_options: { include_usage: true },
});
found.streamed = "";
found.chunks = 0;
for await (const chunk of stream) {
  found.chunks += 1;
  found.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) found.streamUsage = chunk.usage.total_tokens;
}

found.models = [];
for await (const one of client.models.list()) found.models.push(one.id);

try {
  await client.chat.completions.create({ ...request, model: "equirouter/budget-cheap" });
} catch (error) {
  found.error = { status: error.status, type: error.type, message: error.message };
}
console.log(JSON.stringify(found));
