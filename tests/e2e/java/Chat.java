import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Opens a WebSocket with HttpClient as it comes and prints a line for whatever arrives.
 *
 * <p>Arguments: a URL, subprotocols separated by commas (may be empty), then what to do: "text …", "fragments …" (one per word),
 * "binary length", "ping", "close code reason", "wait". Each but a fragment is answered before the next one is sent.
 */
public final class Chat implements WebSocket.Listener {
    private final BlockingQueue<String> events = new LinkedBlockingQueue<>();
    private final StringBuilder text = new StringBuilder();
    private int binaryLength;
    private int binarySum;

    public static void main(String[] arguments) throws Exception {
        var chat = new Chat();
        var builder = HttpClient.newHttpClient().newWebSocketBuilder();
        if (!arguments[1].isEmpty()) {
            var names = arguments[1].split(",");
            builder.subprotocols(names[0], Arrays.copyOfRange(names, 1, names.length));
        }
        var socket = builder.buildAsync(URI.create(arguments[0]), chat).join();
        System.out.println("open [" + socket.getSubprotocol() + "]");
        for (int index = 2; index < arguments.length; index++) {
            chat.act(socket, arguments[index].split(" ", 2));
            var event = chat.events.poll(10, TimeUnit.SECONDS);
            System.out.println(event);
            if (event == null) {
                System.exit(1);
            }
        }
    }

    private void act(WebSocket socket, String[] words) {
        switch (words[0]) {
            case "text" -> socket.sendText(words[1], true).join();
            case "fragments" -> {
                var parts = words[1].split(" ");
                for (int index = 0; index < parts.length; index++) {
                    socket.sendText(parts[index], index == parts.length - 1).join();
                }
            }
            case "binary" -> {
                var data = new byte[Integer.parseInt(words[1])];
                Arrays.fill(data, (byte) 1);
                socket.sendBinary(ByteBuffer.wrap(data), true).join();
            }
            case "ping" -> socket.sendPing(ByteBuffer.wrap("ping".getBytes(StandardCharsets.UTF_8))).join();
            case "close" -> {
                var close = words[1].split(" ", 2);
                socket.sendClose(Integer.parseInt(close[0]), close[1]).join();
            }
            case "wait" -> { }
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
        text.append(data);
        if (last) {
            events.add("text " + text);
            text.setLength(0);
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
        binaryLength += data.remaining();
        while (data.hasRemaining()) {
            binarySum += data.get();
        }
        if (last) {
            events.add("binary " + binaryLength + " " + binarySum);
            binaryLength = binarySum = 0;
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onPong(WebSocket socket, ByteBuffer data) {
        events.add("pong " + StandardCharsets.UTF_8.decode(data));
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        events.add("close " + code + " " + reason);
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
        events.add("error " + error);
    }
}
