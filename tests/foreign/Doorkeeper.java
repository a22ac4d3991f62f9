import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.RestOperationTypeEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.AuthenticationException;
import ca.uhn.fhir.rest.server.exceptions.ForbiddenOperationException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.time.Instant;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * SMART Backend Services before HAPI's server: discovery, tokens for a signed assertion, and who may ask for what. HAPI has none of it, so
 * it is ours; signatures are verified by the JDK.
 */
@Interceptor
public final class Doorkeeper {
    static final String TOKEN_PATH = "/auth/token";
    private static final String MATCH = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
    private static final int LIFE_S = 300;
    private static final Set<RestOperationTypeEnum> READING = Set.of(RestOperationTypeEnum.READ, RestOperationTypeEnum.SEARCH_TYPE,
            RestOperationTypeEnum.EXTENDED_OPERATION_INSTANCE, RestOperationTypeEnum.GET_PAGE);

    private final ObjectMapper json = new ObjectMapper();
    private final String endpoint;
    private final JsonNode key;
    private final String reading;
    private final Map<String, String> scopes = new ConcurrentHashMap<>();
    private final Set<String> used = ConcurrentHashMap.newKeySet();

    Doorkeeper(String origin, String keys, boolean older) throws IOException {
        endpoint = origin + TOKEN_PATH;
        key = json.readTree(keys).path("keys").path(0);
        reading = older ? "system/*.read" : "system/*.rs";
    }

    HttpServlet discovery() {
        return new HttpServlet() {
            @Override
            protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
                answer(response, 200, Map.of(
                        "token_endpoint", endpoint,
                        "grant_types_supported", List.of("client_credentials"),
                        "token_endpoint_auth_methods_supported", List.of("private_key_jwt"),
                        "token_endpoint_auth_signing_alg_values_supported", List.of("ES384"),
                        "scopes_supported", List.of(reading, MATCH),
                        "capabilities", List.of("client-confidential-asymmetric")));
            }
        };
    }

    HttpServlet tokens() {
        return new HttpServlet() {
            @Override
            protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
                String scope = request.getParameter("scope");
                boolean known = "client_credentials".equals(request.getParameter("grant_type"))
                        && "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".equals(request.getParameter("client_assertion_type"))
                        && List.of(reading, MATCH).contains(scope);
                if (!known || !isOurs(request.getParameter("client_assertion"))) {
                    answer(response, 400, Map.of("error", "invalid_request"));
                    return;
                }
                String token = UUID.randomUUID().toString();
                scopes.put(token, scope);
                answer(response, 200, Map.of("access_token", token, "token_type", "bearer", "expires_in", LIFE_S, "scope", scope));
            }
        };
    }

    private void answer(HttpServletResponse response, int status, Map<String, Object> body) throws IOException {
        response.setStatus(status);
        response.setContentType("application/json");
        response.setHeader("Cache-Control", "no-store");
        response.getOutputStream().write(json.writeValueAsBytes(body));
    }

    /** Whether this is an assertion of the client that is known, for this endpoint, not over, and new. */
    private boolean isOurs(String assertion) throws IOException {
        String[] parts = assertion == null ? new String[0] : assertion.split("\\.");
        if (parts.length != 3) {
            return false;
        }
        JsonNode header = json.readTree(Base64.getUrlDecoder().decode(parts[0]));
        JsonNode claims = json.readTree(Base64.getUrlDecoder().decode(parts[1]));
        long left = claims.path("exp").asLong() - Instant.now().getEpochSecond();
        return header.path("alg").asText().equals("ES384")
                && header.path("kid").asText().equals(key.path("kid").asText())
                && claims.path("iss").asText().equals("new-payer")
                && claims.path("sub").asText().equals("new-payer")
                && claims.path("aud").asText().equals(endpoint)
                && left > 0 && left <= LIFE_S
                && isSigned(parts)
                && used.add(claims.path("jti").asText());
    }

    private boolean isSigned(String[] parts) {
        try {
            Signature check = Signature.getInstance("SHA384withECDSAinP1363Format");
            check.initVerify(publicKey());
            check.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
            return check.verify(Base64.getUrlDecoder().decode(parts[2]));
        } catch (GeneralSecurityException error) {
            return false;
        }
    }

    private PublicKey publicKey() throws GeneralSecurityException {
        AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
        curve.init(new ECGenParameterSpec("secp384r1"));
        ECPoint point = new ECPoint(number("x"), number("y"));
        return KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(point, curve.getParameterSpec(ECParameterSpec.class)));
    }

    private BigInteger number(String name) {
        return new BigInteger(1, Base64.getUrlDecoder().decode(key.path(name).asText()));
    }

    /** A token for the match may match, a token for reading may read, and only the CapabilityStatement needs none. */
    @Hook(Pointcut.SERVER_INCOMING_REQUEST_PRE_HANDLED)
    public void admit(RequestDetails request, RestOperationTypeEnum kind) {
        if (kind == RestOperationTypeEnum.METADATA) {
            return;
        }
        String header = request.getHeader("Authorization");
        String scope = header == null || !header.startsWith("Bearer ") ? null : scopes.get(header.substring("Bearer ".length()));
        if (scope == null) {
            throw new AuthenticationException("A token is needed.");
        }
        boolean matching = "$member-match".equals(request.getOperation());
        boolean allowed = scope.equals(MATCH) ? matching : !matching && READING.contains(kind);
        if (!allowed) {
            throw new ForbiddenOperationException("The token is for something else.");
        }
    }
}
