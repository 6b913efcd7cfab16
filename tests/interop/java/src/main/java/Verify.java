import com.nimbusds.jose.Header;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.crypto.Ed25519Verifier;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKMatcher;
import com.nimbusds.jose.jwk.JWKSelector;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONArrayUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import java.io.IOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * Judges tokens as a Java service does: nimbus-jose-jwt, with its remote JWK source.
 *
 * <pre>java Verify &lt;jwks-url> &lt; cases.json > verdicts.json</pre>
 */
public final class Verify {
    private static final Set<JWSAlgorithm> ALGORITHMS = Set.of(
            JWSAlgorithm.RS256, JWSAlgorithm.RS384, JWSAlgorithm.RS512,
            JWSAlgorithm.PS256, JWSAlgorithm.PS384, JWSAlgorithm.PS512,
            JWSAlgorithm.ES256, JWSAlgorithm.ES384, JWSAlgorithm.ES512,
            JWSAlgorithm.EdDSA);
    private static final int FETCH_TIMEOUT_MILLIS = 10_000;
    private static final int KEY_SET_LIMIT_BYTES = 1 << 20;

    private final JWKSource<SecurityContext> keys;

    private Verify(JWKSource<SecurityContext> keys) {
        this.keys = keys;
    }

    private record Case(String name, String token, String audience, String issuer) {
        static Case of(Object json) throws IOException {
            if (json instanceof Map<?, ?> members
                    && members.get("name") instanceof String name
                    && members.get("token") instanceof String token
                    && members.get("audience") instanceof String audience
                    && members.get("issuer") instanceof String issuer) {
                return new Case(name, token, audience, issuer);
            }
            throw new IOException("a case is not an object of name, token, audience and issuer");
        }
    }

    public static void main(String[] args) {
        if (args.length != 1) {
            System.err.println("usage: Verify <jwks-url>");
            System.exit(2);
        }
        try {
            var cases = JSONArrayUtils.parse(new String(System.in.readAllBytes(), StandardCharsets.UTF_8));
            var verify = new Verify(remoteKeys(new URL(args[0])));
            var verdicts = new ArrayList<Object>();
            for (Object json : cases) {
                verdicts.add(verify.verdict(Case.of(json)));
            }
            System.out.write((JSONArrayUtils.toJSONString(verdicts) + "\n").getBytes(StandardCharsets.UTF_8));
            System.out.flush();
        } catch (IOException | ParseException | KeySourceException failure) {
            System.err.println("Verify: " + failure.getMessage());
            System.exit(1);
        }
    }

    private static JWKSource<SecurityContext> remoteKeys(URL url) {
        var retriever = new DefaultResourceRetriever(
                FETCH_TIMEOUT_MILLIS, FETCH_TIMEOUT_MILLIS, KEY_SET_LIMIT_BYTES);
        // Unlimited, because the limit would turn the second unknown kid into a failed fetch.
        return JWKSourceBuilder.create(url, retriever).rateLimited(false).build();
    }

    private Map<String, Object> verdict(Case testCase) throws KeySourceException {
        Map<String, Object> claims = null;
        String error = null;
        try {
            claims = judge(testCase);
        } catch (KeySourceException saysNothingAboutTheToken) {
            throw saysNothingAboutTheToken;
        } catch (ParseException | JOSEException | BadJOSEException reason) {
            error = reason.toString();
        }
        var verdict = new LinkedHashMap<String, Object>();
        verdict.put("name", testCase.name());
        verdict.put("accepted", error == null);
        verdict.put("header", header(testCase.token()));
        verdict.put("claims", claims);
        verdict.put("error", error);
        return verdict;
    }

    /** The claims of a token that passes every check. */
    private Map<String, Object> judge(Case testCase)
            throws ParseException, JOSEException, BadJOSEException {
        var jwt = SignedJWT.parse(testCase.token());
        if (!ALGORITHMS.contains(jwt.getHeader().getAlgorithm())) {
            throw new BadJOSEException("alg " + jwt.getHeader().getAlgorithm() + " is not allowed");
        }
        if (jwt.getHeader().getKeyID() == null) {
            throw new BadJOSEException("no kid in the header"); // it would match every key
        }
        if (!isSigned(jwt)) {
            throw new BadJOSEException("no key of the set verifies the signature");
        }
        var expected = new JWTClaimsSet.Builder().issuer(testCase.issuer()).build();
        new DefaultJWTClaimsVerifier<>(testCase.audience(), expected, Set.of("exp"))
                .verify(jwt.getJWTClaimsSet(), null);
        return jwt.getPayload().toJSONObject();
    }

    /** Done key by key, because the library's JWT processor cannot use Ed25519 keys. */
    private boolean isSigned(SignedJWT jwt) throws JOSEException {
        var selector = new JWKSelector(JWKMatcher.forJWSHeader(jwt.getHeader()));
        for (JWK key : keys.get(selector, null)) {
            if (jwt.verify(verifier(key))) {
                return true;
            }
        }
        return false;
    }

    private static JWSVerifier verifier(JWK key) throws JOSEException {
        return switch (key.getKeyType().getValue()) {
            case "RSA" -> new RSASSAVerifier(key.toRSAKey());
            case "EC" -> new ECDSAVerifier(key.toECKey());
            case "OKP" -> new Ed25519Verifier(key.toOctetKeyPair());
            default -> throw new JOSEException("no verifier for kty " + key.getKeyType());
        };
    }

    /** The header of any token, trusted or not; null where there is none. */
    private static Map<String, Object> header(String token) {
        try {
            return Header.parse(new Base64URL(token.split("\\.", 2)[0])).toJSONObject();
        } catch (ParseException | IllegalArgumentException noHeader) {
            return null;
        }
    }
}
