// One conversation through undici's WebSocket, the class that newer Node has as the global `WebSocket`.
// Its only argument is JSON: url, protocols, send (strings or {hex}), close ([code, reason]). It prints what happened, as JSON.
import { WebSocket } from "undici";

const task = JSON.parse(process.argv[2]);
const result = { answers: [] };
const socket = new WebSocket(task.url, task.protocols ?? []);
socket.binaryType = "arraybuffer";
const pending = [...(task.send ?? [])];

function next() {
  const message = pending.shift();
  if (message !== undefined) {
    socket.send(message.hex === undefined ? message : Buffer.from(message.hex, "hex"));
  } else if (task.close) {
    socket.close(...task.close);
  }
}

socket.onopen = () => {
  result.protocol = socket.protocol;
  result.extensions = socket.extensions;
  next();
};
socket.onmessage = ({ data }) => {
  result.answers.push(typeof data === "string" ? data : { hex: Buffer.from(data).toString("hex") });
  next();
};
socket.onerror = () => { result.error = true; };
socket.onclose = ({ code, reason, wasClean }) => {
  result.closed = [code, reason, wasClean];
  console.log(JSON.stringify(result));
};
