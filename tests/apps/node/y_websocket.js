// A document of 2 MB goes from one `y-websocket` provider to another. Arguments: the address of the rooms, the room, and
// the fields of the handshake as JSON. Prints what it has seen as one line of JSON, and stays connected until its input
// ends.
import { createHash } from "node:crypto";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const [url, room, fields] = process.argv.slice(2);
const END = "the end";

class WithFields extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { headers: JSON.parse(fields) });
    this.on("unexpected-response", (_, response) => {
      console.error(`refused with ${response.statusCode}`);
      process.exit(1);
    });
  }
}

// What does not compress well, so that it is as long on the wire.
let long = "";
for (let number = 0; long.length < 2_000_000; number += 1) {
  long += createHash("sha256").update(String(number)).digest("hex");
}

async function share(document) {
  const provider = new WebsocketProvider(url, room, document, { WebSocketPolyfill: WithFields, disableBc: true });
  await new Promise((resolve) => provider.once("sync", resolve));
  return provider;
}

function textOf(document, length) {
  const text = document.getText("text");
  return new Promise((resolve) => {
    const look = () => text.length >= length && resolve(text.toString());
    text.observe(look);
    look();
  });
}

const first = new Y.Doc();
const second = new Y.Doc();
first.getText("text").insert(0, long);
const providers = [await share(first), await share(second)];
// The first has it before it connects, the second is told; then the second adds, and the first is told.
const received = await textOf(second, long.length);
second.getText("text").insert(long.length, END);
const complete = await textOf(first, long.length + END.length);
console.log(JSON.stringify([received === long, complete === long + END, providers.every((each) => each.wsconnected)]));
process.stdin
  .on("end", () => {
    providers.forEach((each) => each.destroy());
    setTimeout(() => process.exit(0), 100); // it waits for the answers to its close frames
  })
  .resume();
