import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.api.server.IBundleProvider;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.FifoMemoryPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.CustomRequestLog;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.RequestLogWriter;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.util.ssl.SslContextFactory;

/**
 * Another payer whose FHIR server is HAPI's plain one, on an embedded Jetty, with members in memory. It listens on this machine only.
 *
 * <p>{@code ForeignPayer members=FOLDER keys=FOLDER log=FILE everything=yes|no hrex=1.0|1.1} prints its FHIR base URL when it is ready,
 * and ends when its standard input does.
 */
public final class ForeignPayer {
    /** Resources of a page, however many are asked for: a record of a member needs several. */
    private static final int PAGE = 10;

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            int at = argument.indexOf('=');
            options.put(argument.substring(0, at), argument.substring(at + 1));
        }
        boolean older = options.get("hrex").equals("1.0");
        Path keys = Path.of(options.get("keys"));
        Server server = new Server();
        server.setRequestLog(new CustomRequestLog(new RequestLogWriter(options.get("log")), "%r %s"));
        ServerConnector connector = connector(server, keys);
        connector.open();
        String origin = "https://localhost:" + connector.getLocalPort();

        Doorkeeper doorkeeper = new Doorkeeper(origin, Files.readString(keys.resolve("partner-jwks-public.json")), older);
        RestfulServer fhir = new RestfulServer(FhirContext.forR4Cached());
        Pages pages = new Pages();
        pages.setDefaultPageSize(PAGE);
        pages.setMaximumPageSize(PAGE);
        fhir.setPagingProvider(pages);
        fhir.registerInterceptor(doorkeeper);
        Holdings held = new Holdings(fhir.getFhirContext(), Path.of(options.get("members")), older);
        fhir.setResourceProviders(held.providers());
        if (options.get("everything").equals("yes")) {
            fhir.registerProvider(new Everything(held));
        }

        ServletContextHandler paths = new ServletContextHandler("/");
        paths.addServlet(new ServletHolder(fhir), "/fhir/*");
        paths.addServlet(new ServletHolder(doorkeeper.discovery()), "/fhir/.well-known/smart-configuration");
        paths.addServlet(new ServletHolder(doorkeeper.tokens()), Doorkeeper.TOKEN_PATH);
        server.setHandler(paths);
        server.start();
        System.out.println(origin + "/fhir");
        while (System.in.read() >= 0) {
            continue;
        }
        server.stop();
    }

    /** HAPI's pages in memory, of which one answer is lost once, as it is when that memory is full; HAPI then says 410. */
    private static final class Pages extends FifoMemoryPagingProvider {
        private final AtomicBoolean lost = new AtomicBoolean();

        Pages() {
            super(50);
        }

        @Override
        public synchronized IBundleProvider retrieveResultList(RequestDetails request, String id) {
            return lost.compareAndSet(false, true) ? null : super.retrieveResultList(request, id);
        }
    }

    /** HTTPS on a free port, with the certificates of the demonstration; a client has to show one. */
    private static ServerConnector connector(Server server, Path keys) throws IOException, GeneralSecurityException {
        char[] none = new char[0];
        KeyStore own = KeyStore.getInstance("PKCS12");
        own.load(null, none);
        own.setKeyEntry("server", key(keys.resolve("server.key")), none, certificates(keys.resolve("server.pem")).toArray(new Certificate[0]));
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, none);
        for (Certificate authority : certificates(keys.resolve("ca.pem"))) {
            trusted.setCertificateEntry("authority" + trusted.size(), authority);
        }
        SslContextFactory.Server tls = new SslContextFactory.Server();
        tls.setKeyStore(own);
        tls.setKeyStorePassword("");
        tls.setTrustStore(trusted);
        tls.setNeedClientAuth(true);
        HttpConfiguration http = new HttpConfiguration();
        http.addCustomizer(new SecureRequestCustomizer());
        ServerConnector connector = new ServerConnector(server, new SslConnectionFactory(tls, "http/1.1"), new HttpConnectionFactory(http));
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        return connector;
    }

    private static List<Certificate> certificates(Path file) throws IOException, GeneralSecurityException {
        ByteArrayInputStream text = new ByteArrayInputStream(Files.readAllBytes(file));
        return new ArrayList<>(CertificateFactory.getInstance("X.509").generateCertificates(text));
    }

    private static PrivateKey key(Path file) throws IOException, GeneralSecurityException {
        String text = Files.readString(file).replaceAll("-----[^-]+-----|\\s", "");
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text)));
    }
}
