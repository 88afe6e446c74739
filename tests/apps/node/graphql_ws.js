// A query and a subscription through `graphql-ws`. Arguments: the address, and the fields of the handshake as JSON.
// Prints what it has seen as one line of JSON, and stays connected until its input ends.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, fields] = process.argv.slice(2);

class WithFields extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { headers: JSON.parse(fields) });
  }
}

// A keep-alive of its own, so that the connection stays open between the two and after them.
const client = createClient({ url, webSocketImpl: WithFields, lazy: false, retryAttempts: 0, onNonLazyError: fail });

function fail(error) {
  console.error(error?.message ?? error);
  process.exit(1);
}

async function all(query) {
  const results = [];
  for await (const result of client.iterate({ query })) {
    results.push(result);
  }
  return results;
}

try {
  const [answer] = await all('query { hello(name: "Ada") }');
  const numbers = await all("subscription { count(to: 5) }");
  console.log(JSON.stringify([answer.data, numbers.map((each) => each.data.count)]));
} catch (error) {
  fail(error);
}
process.stdin.on("end", () => client.dispose()).resume();
