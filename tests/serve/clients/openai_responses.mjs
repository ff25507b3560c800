// What the official Node client gets of the Responses API, against a running gateway. Prints one JSON document.
//   node openai_responses.mjs BASE_URL KEY MODEL

import OpenAI from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const request = { model, instructions: "Answer shortly.", input: [{ role: "user", content: "Hello?" }] };

const found = {};
const whole = await client.responses.create(request);
found.whole = whole.output_text;
found.usage = whole.usage?.total_tokens;

found.streamed = "";
found.kinds = [];
for await (const event of await client.responses.create({ ...request, stream: true })) {
  found.kinds.push(event.type);
  if (event.type === "response.output_text.delta") found.streamed += event.delta;
  if (event.type === "response.completed") found.streamUsage = event.response.usage?.total_tokens;
}

// the client's own sum of a stream, which takes only a full sequence of events
try {
  found.final = (await client.responses.stream(request).finalResponse()).output_text;
} catch (error) {
  found.final = String(error);
}
console.log(JSON.stringify(found));
