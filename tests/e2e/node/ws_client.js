// One conversation through the package `ws`. Its only argument is JSON:
//   url, protocols, options (of ws), send (messages: a string, {hex}, {parts}, {repeat, times} or "ping"), close ([code, reason])
// It sends one message, awaits the answer, and goes on; then it closes, or waits to be closed. It prints what happened, as JSON.
import WebSocket from "ws";

const task = JSON.parse(process.argv[2]);
const result = { answers: [] };
const socket = new WebSocket(task.url, task.protocols ?? [], task.options ?? {});
const pending = [...(task.send ?? [])];

function content(message) {
  if (message.hex !== undefined) return Buffer.from(message.hex, "hex");
  if (message.times !== undefined) return message.repeat.repeat(message.times);
  return message;
}

function next() {
  const message = pending.shift();
  if (message === undefined) {
    if (task.close) socket.close(...task.close);
  } else if (message === "ping") {
    socket.ping("are you there?");
  } else if (message.parts !== undefined) {
    message.parts.forEach((part, index) => socket.send(part, { fin: index === message.parts.length - 1 }));
  } else {
    socket.send(content(message));
  }
}

function answered(answer) {
  result.answers.push(answer);
  next();
}

socket.on("upgrade", (response) => {
  result.headers = response.headers;
  result.rawHeaders = response.rawHeaders;
});
socket.on("unexpected-response", (request, response) => {
  result.refused = response.statusCode;
  response.setEncoding("utf8");
  let body = "";
  response.on("data", (data) => { body += data; });
  response.on("end", () => {
    result.body = body;
    socket.terminate();
  });
});
socket.on("open", () => {
  result.protocol = socket.protocol;
  result.extensions = socket.extensions;
  next();
});
socket.on("message", (data, isBinary) => answered(isBinary ? { hex: data.toString("hex") } : data.toString()));
socket.on("pong", (data) => answered("pong " + data));
socket.on("error", (error) => { result.error ??= error.message; });
socket.on("close", (code, reason) => {
  result.closed = [code, reason.toString()];
  console.log(JSON.stringify(result));
});
