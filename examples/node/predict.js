// Asks a model's typed service for predictions, with nothing but its .proto:
//
//   sardonyx-exporter stubs churn --lang proto -o stubs/ --server 127.0.0.1:8001
//   npm install
//   echo '{"features": {"age": 0.3, "region": "north"}}' | node predict.js 127.0.0.1:8001 stubs/churn/v1/churn.proto
//
// Each line that it reads is a request: one row as {"features": {…}}, or many as {"columns": {…}}, with "NaN" for a
// missing number. Each line that it writes is the answer, or {"error": {…}}.
import readline from "node:readline";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const TIMEOUT_MS = 10_000;
// Whole numbers of 64 bits do not fit JavaScript's numbers; classes are read by name.
const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true };

const [address, proto] = process.argv.slice(2);
if (!proto) {
  console.error("Usage: node predict.js ADDRESS PROTO < requests");
  process.exit(2);
}
const definition = protoLoader.loadSync(proto, OPTIONS);
const nameOf = (ending) => Object.keys(definition).find((name) => name.endsWith(ending));
const Service = grpc.makeGenericClientConstructor(definition[nameOf("Service")]);
// The first name in the user agent is what the monitor calls this caller.
const client = new Service(address, grpc.credentials.createInsecure(), {
  "grpc.primary_user_agent": "node-example",
});

/** One request's answer; a misspelt field is an error, which protobuf.js would pass over. */
function predict(request) {
  const [method, part, message] = request.columns
    ? ["PredictBatch", "columns", ".Columns"]
    : ["Predict", "features", ".Features"];
  const known = definition[nameOf(message)].type.field.map((field) => field.name);
  const unknown = Object.keys(request[part] ?? {}).find((name) => !known.includes(name));
  if (unknown) throw new Error(`There is no field ${unknown}. Fields are ${known.join(", ")}.`);
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + TIMEOUT_MS;
    client[method](request, { deadline }, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await predict(JSON.parse(line))));
  } catch (error) {
    const { code, details = error.message, metadata } = error;
    // A google.rpc.Status: each field that is wrong, and why, for programs.
    const [status] = metadata?.get("grpc-status-details-bin") ?? [];
    console.log(JSON.stringify({ error: { code: grpc.status[code], details, status: status?.toString("base64") } }));
  }
}
client.close();
