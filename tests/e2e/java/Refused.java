import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.util.concurrent.CompletionException;

/** Tries to open a WebSocket at each URL and prints the status and the text of each refusal. */
public final class Refused {
    public static void main(String[] arguments) {
        var builder = HttpClient.newHttpClient().newWebSocketBuilder();
        for (var url : arguments) {
            try {
                builder.buildAsync(URI.create(url), new WebSocket.Listener() { }).join().abort();
                System.out.println("opened");
            } catch (CompletionException error) {
                var response = ((WebSocketHandshakeException) error.getCause()).getResponse();
                System.out.println(response.statusCode() + " " + response.body().toString().strip());
            }
        }
    }
}
