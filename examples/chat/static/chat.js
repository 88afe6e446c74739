"use strict";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const MOST_MESSAGES = 500;

const byId = (id) => document.getElementById(id);
const room = new URLSearchParams(location.search).get("room") || "lobby";
const page = new URL("rooms/" + encodeURIComponent(room), document.baseURI);
const address = new URL(page);
address.protocol = address.protocol.replace("http", "ws");

let socket;
let user;
let pause = FIRST_PAUSE;
let timer;
let atEnd = true;  // new messages scroll into view unless someone is reading older ones

byId("room").textContent = room;
document.title = "#" + room + " · Chat";

function show(state, text) {
  byId("state").dataset.state = state;
  byId("state").textContent = text;
  byId("send").disabled = state !== "open";
}

function add(kind, text, event) {
  const list = byId("messages");
  const item = document.createElement("li");
  item.className = kind;
  if (kind.startsWith("message")) {
    const by = document.createElement("span");
    const time = document.createElement("time");
    const at = new Date(event.at);
    by.className = "by";
    time.dateTime = event.at;
    time.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    by.append(event.user + " · ", time);
    item.append(by);
  }
  item.append(text);  // a text node: what people write is never markup
  list.append(item);
  if (list.childElementCount > MOST_MESSAGES) list.firstElementChild.remove();
  stayAtEnd();
}

function stayAtEnd() {
  const list = byId("messages");
  if (atEnd) list.scrollTop = list.scrollHeight;
}

const on = {
  welcome(event) {
    user = event.user;
    show("open", "connected as " + user + ", worker " + event.worker);
  },
  joined: (event) => add("notice", event.user + " joined"),
  left: (event) => add("notice", event.user + " left"),
  message: (event) => add(event.user === user ? "message own" : "message", event.text, event),
  error: (event) => add("notice error", event.text),
};

function connect() {
  clearTimeout(timer);
  show("connecting", "connecting …");
  let opened = false;
  socket = new WebSocket(address, "chat.v1");
  socket.onopen = () => {
    opened = true;
    pause = FIRST_PAUSE;
  };
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (Object.hasOwn(on, event.type)) on[event.type](event);
  };
  socket.onclose = async (close) => {
    const wait = pause * (0.5 + Math.random() / 2);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
    show("closed", (close.reason || "not connected") + ", next attempt in " + Math.ceil(wait / 1000) + " s");
    timer = setTimeout(connect, wait);
    if (!opened) await stopIfRefused();
  };
}

// A browser does not tell why a handshake was refused, so ask: the room's address answers plain requests too.
async function stopIfRefused() {
  let status;
  try {
    status = (await fetch(page, { cache: "no-store" })).status;
  } catch {
    return;  // the server is away: the next attempt to connect is already on its way
  }
  if (status === 401) location.replace("login");
  if (status < 400 || status >= 500 || status === 408 || status === 429) return;
  disconnect();
  show("closed", status === 422 ? "there is no room of this name" : "refused, status " + status);
}

function disconnect() {
  clearTimeout(timer);
  if (!socket) return;
  socket.onclose = null;
  socket.close();
  socket = undefined;
}

byId("messages").addEventListener("scroll", ({ target }) => {
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
});
new ResizeObserver(stayAtEnd).observe(byId("messages"));

byId("compose").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const field = byId("text");
  if (!field.value.trim() || socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ text: field.value }));
  field.value = "";
  field.focus();
});

addEventListener("online", () => {
  if (socket?.readyState === WebSocket.CLOSED) connect();
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", () => {
  if (!socket) connect();
});
