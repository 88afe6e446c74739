// Requests through Node's own HTTP client, one after the other on one kept-alive connection.
// Its only argument is JSON: a list of {url, method, headers, body (a string, or a list of strings sent in chunks)}.
// It prints, as JSON, a list of {event: "response" or "upgrade", status, reason, headers, body, port}.
import http from "node:http";

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask({ url, method, headers, body }) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { agent, method: method ?? "GET", headers });
    let port;
    request.on("socket", (socket) => {
      port = socket.localPort;
      socket.once("connect", () => { port = socket.localPort; });
    });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (data) => { text += data; });
      response.on("end", () => resolve(describe("response", response, text, port)));
    });
    request.on("upgrade", (response, socket, head) => {
      resolve(describe("upgrade", response, head.toString("hex"), port));
      socket.destroy();
    });
    if (Array.isArray(body)) body.forEach((part) => request.write(part));
    else if (body !== undefined) request.setHeader("content-length", Buffer.byteLength(body));
    request.end(Array.isArray(body) ? undefined : body);
  });
}

function describe(event, response, body, port) {
  return { event, status: response.statusCode, reason: response.statusMessage, headers: response.headers, body, port };
}

const results = [];
for (const task of JSON.parse(process.argv[2])) {
  results.push(await ask(task));
  await new Promise(setImmediate);  // the agent takes the connection back only now
}
agent.destroy();
console.log(JSON.stringify(results));
