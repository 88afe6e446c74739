// `docker exec -i` by the package `dockerode`. Its only argument is JSON: host, port, headers, container, command, given.
// It sends what is given, ends its side and reads on to the end. It prints the output, the errors and the exit code, as JSON.
import { once } from "node:events";
import { Writable } from "node:stream";
import Docker from "dockerode";

const task = JSON.parse(process.argv[2]);
const docker = new Docker({ host: task.host, port: task.port, version: "v1.41", headers: task.headers });
const result = { output: "", errors: "" };

function collect(name) {
  return new Writable({
    write(data, encoding, done) {
      result[name] += data.toString("latin1");
      done();
    },
  });
}

const container = docker.getContainer(task.container);
const attached = { AttachStdin: true, AttachStdout: true, AttachStderr: true };
const execution = await container.exec({ Cmd: task.command, ...attached });
const stream = await execution.start({ hijack: true, stdin: true });
docker.modem.demuxStream(stream, collect("output"), collect("errors"));
stream.end(task.given);
await once(stream, "end");
result.exitCode = (await execution.inspect()).ExitCode;
console.log(JSON.stringify(result));
