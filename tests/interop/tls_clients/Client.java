// Java's TLS as a program that passes its input on: Client PORT CA VERSION SUITE. It changes its keys, and wants the
// server to, after every 64 KiB (TLS 1.3). The line ^resume^ is for itself: it connects again with the session it has.

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.Security;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    public static void main(String[] args) throws Exception {
        Security.setProperty("jdk.tls.keyLimits",
            "AES/GCM/NoPadding KeyUpdate 2^16, ChaCha20-Poly1305 KeyUpdate 2^16");
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var pem = new FileInputStream(args[1])) {
            store.setCertificateEntry("server", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (var again = true; again; ) {
            again = talk(context, args, input);
        }
    }

    /// Until the end of the input; whether it is to connect again.
    static boolean talk(SSLContext context, String[] args, BufferedReader input) throws Exception {
        // a session is found again by host and port
        var started = System.currentTimeMillis();
        var socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", Integer.parseInt(args[0]));
        socket.setEnabledProtocols(new String[] {"TLSv" + args[2]});
        socket.setEnabledCipherSuites(new String[] {args[3]});
        var parameters = socket.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        socket.setSSLParameters(parameters);
        socket.startHandshake();
        var session = socket.getSession();
        System.out.println("connected " + session.getCipherSuite() + " resumed "
            + (session.getCreationTime() < started));
        var reader = new Thread(() -> {
            try {
                socket.getInputStream().transferTo(System.out);
            } catch (Exception error) {
                System.out.println("client: " + error);
                Runtime.getRuntime().halt(1);
            }
        });
        reader.start();
        var line = input.readLine();
        for (; line != null && !line.equals("^resume^"); line = input.readLine()) {
            socket.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
        }
        socket.shutdownOutput();
        reader.join();
        socket.close();
        return line != null;
    }
}
