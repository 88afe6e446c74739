import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.websocketx.TextWebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketClientHandshakerFactory;
import io.netty.handler.codec.http.websocketx.WebSocketClientProtocolHandler;
import io.netty.handler.codec.http.websocketx.WebSocketVersion;
import io.netty.handler.codec.http.websocketx.extensions.WebSocketClientExtensionHandler;
import io.netty.handler.codec.http.websocketx.extensions.compression.PerMessageDeflateClientExtensionHandshaker;
import java.net.URI;

/**
 * Opens a WebSocket with Netty, offers permessage-deflate, sends a text twice and prints what comes back.
 *
 * <p>Arguments: a URL, the text, and how to offer: server window in bits, then "true" or "false" for whether the client's window
 * may be chosen, whether its context may be dropped, and whether the server shall drop its own.
 */
public final class Deflating extends SimpleChannelInboundHandler<TextWebSocketFrame> {
    private final String text;
    private int received;

    private Deflating(String text) {
        this.text = text;
    }

    public static void main(String[] arguments) throws Exception {
        var uri = URI.create(arguments[0]);
        var handshaker = WebSocketClientHandshakerFactory.newHandshaker(
            uri, WebSocketVersion.V13, null, true, new DefaultHttpHeaders(), 1 << 20);
        var deflate = new PerMessageDeflateClientExtensionHandshaker(
            6, Boolean.parseBoolean(arguments[3]), Integer.parseInt(arguments[2]), Boolean.parseBoolean(arguments[4]),
            Boolean.parseBoolean(arguments[5]));
        var group = new NioEventLoopGroup(1);
        try {
            new Bootstrap().group(group).channel(NioSocketChannel.class).handler(new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel channel) {
                    channel.pipeline().addLast(
                        new HttpClientCodec(),
                        new HttpObjectAggregator(8192),
                        new WebSocketClientExtensionHandler(deflate),
                        new WebSocketClientProtocolHandler(handshaker),
                        new Deflating(arguments[1]));
                }
            }).connect(uri.getHost(), uri.getPort()).sync().channel().closeFuture().sync();
        } finally {
            group.shutdownGracefully(0, 1, java.util.concurrent.TimeUnit.SECONDS);
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event == WebSocketClientProtocolHandler.ClientHandshakeStateEvent.HANDSHAKE_COMPLETE) {
            System.out.println("open");
            context.writeAndFlush(new TextWebSocketFrame(text));
        }
    }

    @Override
    protected void channelRead0(ChannelHandlerContext context, TextWebSocketFrame frame) {
        System.out.println(frame.text().equals(text) ? "echoed" : "something else");
        received++;
        if (received == 2) {
            context.close();
        } else {
            context.writeAndFlush(new TextWebSocketFrame(text));
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        System.out.println("failed " + cause.getMessage());
        context.close();
    }
}
