import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;

/**
 * Sends requests all at once with HttpClient as it comes, behind a first one that offers h2c, and prints each response's
 * status, version and body as a line. Every other request is a POST of as many bytes as its number times a thousand.
 *
 * <p>Arguments: a URL and how many requests.
 */
public final class Concurrent {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        var target = URI.create(arguments[0]);
        print(client.send(HttpRequest.newBuilder(target).build(), BodyHandlers.ofString()));
        var responses = new ArrayList<CompletableFuture<HttpResponse<String>>>();
        for (int number = 0; number < Integer.parseInt(arguments[1]); number++) {
            var builder = HttpRequest.newBuilder(target);
            if (number % 2 == 1) {
                builder.POST(BodyPublishers.ofByteArray(new byte[number * 1000]));
            }
            responses.add(client.sendAsync(builder.build(), BodyHandlers.ofString()));
        }
        for (var response : responses) {
            print(response.get());
        }
    }

    private static void print(HttpResponse<String> response) {
        System.out.println(response.statusCode() + " " + response.version() + " " + response.body().strip());
    }
}
