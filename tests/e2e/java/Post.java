import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/**
 * POSTs bodies with HttpClient as it comes, which offers h2c each time, and prints each response body as a line.
 *
 * <p>Arguments: a URL, then for each request its body's length, and after it "known" for Content-Length, "unknown" for chunks,
 * "expecting" for Content-Length after 100 (Continue). Byte n of a body is n mod 251.
 */
public final class Post {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int index = 1; index < arguments.length; index += 2) {
            var body = body(Integer.parseInt(arguments[index]));
            var kind = arguments[index + 1];
            var publisher = kind.equals("unknown")
                ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                : BodyPublishers.ofByteArray(body);
            var request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .expectContinue(kind.equals("expecting"))
                .POST(publisher)
                .build();
            var response = client.send(request, BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.version() + " " + response.body().strip());
        }
    }

    private static byte[] body(int length) {
        var body = new byte[length];
        for (int index = 0; index < length; index++) {
            body[index] = (byte) (index % 251);
        }
        return body;
    }
}
