"""Tokens made by PyJWT, and what attackers make of them (RFC 8725, RFC 7515): JSON objects, a line each.

The first line has the keys: {pem: {algorithm: text}, secret: hex, jwks: text}. Each other one is a token:
{key: an algorithm or "jwks", what, token, user: who it is for, or null if it must be refused}. The time is NOW."""

import base64
import hmac
import json
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW = int(sys.argv[1])
SECRET = bytes(range(64))
CLAIMS = {"sub": "romeo", "exp": NOW + 300, "jti": "one", "iss": "https://id.example.org", "aud": "xmpp"}

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = {
    **{name: RSA for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]},
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
OTHER = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(name, key):
    algorithm = jwt.get_algorithm_by_name(name)
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name, "use": "sig"}


def by_hand(header, claims, sign):
    head = header if isinstance(header, str) else json.dumps(header)
    body = claims if isinstance(claims, str) else json.dumps(claims)
    signed = f"{b64(head.encode())}.{b64(body.encode())}"
    return f"{signed}.{b64(sign(signed.encode()))}"


def hs256(secret):
    return lambda signed: hmac.digest(secret, signed, "sha256")


JWKS = [jwk(name, PRIVATE[name]) for name in ["RS256", "ES256", "ES384", "EdDSA"]]
UNKNOWN = [{"kty": "EC", "crv": "secp256k1", "kid": "k1"}, {"kty": "AKP", "alg": "ML-DSA-44"}]
ENCRYPTS = [{**JWKS[0], "use": "enc", "kid": "enc"}, {**JWKS[0], "alg": "RSA-OAEP", "kid": "oaep"}]
KEYS = {
    "pem": {name: pem(key) for name, key in PRIVATE.items()},
    "pkcs1": RSA.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    .decode(),
    "private": RSA.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode(),
    "short": pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "secret": SECRET.hex(),
    "jwks": json.dumps({"keys": JWKS + UNKNOWN + ENCRYPTS}),
}
print(json.dumps(KEYS))


def say(key, what, token, user=None):
    print(json.dumps({"key": key, "what": what, "token": token, "user": user}))


def claims(key, what, user=None, without=(), **more):
    """A token of right signature with other claims."""
    all = {name: value for name, value in {**CLAIMS, **more}.items() if name not in without}
    say(key, what, jwt.encode(all, SECRET, algorithm=key), user)


for name, key in PRIVATE.items():
    good = jwt.encode(CLAIMS, key, algorithm=name)
    say(name, "good", good, "romeo@example.org")
    head, body, signature = good.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    say(name, "the signature is gone", f"{head}.{body}.")
    say(name, "two parts", f"{head}.{body}")
    say(name, "four parts", f"{good}.")
    say(name, "five parts, as of JWE", f"{good}.{body}.{body}")
    say(name, "a signature too short", f"{head}.{body}.{b64(raw[:-1])}")
    say(name, "a signature too long", f"{head}.{body}.{b64(raw + bytes(1))}")
    say(name, "a signature of zeros", f"{head}.{body}.{b64(bytes(len(raw)))}")
    say(name, "padding", f"{good}=")
    say(name, "a line end", f"{good}\n")
    say(name, "a blank", f" {good}")
    say(name, "other claims", f"{head}.{b64(json.dumps({**CLAIMS, 'sub': 'juliet'}).encode())}.{signature}")
    say(name, "another header", f"{b64(json.dumps({'alg': name}).encode())}.{body}.{signature}")
    for none in ["none", "None", "NONE", "nOnE", ""]:
        for end in [b"", raw]:
            say(name, f"no algorithm ({none})", by_hand({"alg": none}, CLAIMS, lambda _, end=end: end))
    # section 2.1: the public key, which everybody has, as a secret
    for public in [pem(key), pem(key).strip()]:
        for used in ["HS256", "HS384", "HS512"]:
            digest = "sha" + used[2:]
            mac = lambda signed: hmac.digest(public.encode(), signed, digest)  # noqa: E731
            say(name, f"the public key as a secret of {used}", by_hand({"alg": used}, CLAIMS, mac))
            say(name, "and says another algorithm", by_hand({"alg": name}, CLAIMS, mac))
    for used, other in PRIVATE.items():
        if used != name:
            say(name, f"signed by another algorithm, {used}", jwt.encode(CLAIMS, other, algorithm=used))

# a key of the attacker's, which the header brings along
for name, key in OTHER.items():
    mine = json.loads(jwt.get_algorithm_by_name(name).to_jwk(key.public_key()))
    for headers in [{}, {"jwk": mine}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/"}, {"kid": name}]:
        say(name, f"another key, {list(headers)}", jwt.encode(CLAIMS, key, algorithm=name, headers=headers))
        say("jwks", f"another key, {list(headers)}", jwt.encode(CLAIMS, key, algorithm=name, headers=headers))

# CVE-2022-21449 and its like: r and s in other writings
head, body, signature = jwt.encode(CLAIMS, PRIVATE["ES256"], algorithm="ES256").split(".")
der = PRIVATE["ES256"].sign(f"{head}.{body}".encode(), ec.ECDSA(jwt.get_algorithm_by_name("ES256").hash_alg()))
say("ES256", "a signature in DER", f"{head}.{body}.{b64(der)}")
order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
say("ES256", "r and s as the order", f"{head}.{body}.{b64(order.to_bytes(32, 'big') * 2)}")
last = signature[-1]
alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
say("ES256", "other bits behind the signature", f"{head}.{body}.{signature[:-1]}{alphabet[alphabet.index(last) ^ 1]}")

# names of keys
for name in ["RS256", "ES256", "ES384", "EdDSA"]:
    sign = lambda headers: jwt.encode(CLAIMS, PRIVATE[name], algorithm=name, headers=headers)  # noqa: E731
    say("jwks", "named", sign({"kid": name}), "romeo@example.org")
    say("jwks", "without a name", sign({}), "romeo@example.org")
    say(name, "a name that a bare key does not have", sign({"kid": "2026"}), "romeo@example.org")
    for kid in ["other", "", "../../dev/null", "' OR 1=1", "enc", "k1"]:
        say("jwks", f"another name, {kid}", sign({"kid": kid}))
    wrong = "RS256" if name != "RS256" else "ES256"
    say("jwks", "the name of another key", sign({"kid": wrong}))
say("jwks", "a secret there is none", jwt.encode(CLAIMS, SECRET, algorithm="HS256", headers={"kid": "RS256"}))
say("jwks", "a name that is no text", by_hand({"alg": "RS256", "kid": 1}, CLAIMS, lambda _: bytes(256)))
say("jwks", "PS256 with a key for RS256", jwt.encode(CLAIMS, RSA, algorithm="PS256", headers={"kid": "RS256"}))

for name in ["HS256", "HS384", "HS512"]:
    claims(name, "good", "romeo@example.org")
    for used in ["HS256", "HS384", "HS512"]:
        if used != name:
            say(name, f"signed by {used}", jwt.encode(CLAIMS, SECRET, algorithm=used))
    say(name, "no key", jwt.encode(CLAIMS, None, algorithm="none"))
    say(name, "an empty secret", by_hand({"alg": "HS256"}, CLAIMS, hs256(b"")))

# time
for when, user in [(300, 1), (1, 1), (0, 1), (-59, 1), (-60, 0), (-61, 0), (-86400, 0)]:
    claims("HS256", f"expires at {when:+}", "romeo@example.org" if user else None, exp=NOW + when)
for when, user in [(-1, 1), (60, 1), (61, 0), (86400, 0)]:
    claims("HS256", f"begins at {when:+}", "romeo@example.org" if user else None, nbf=NOW + when)
claims("HS256", "a fraction of a second", "romeo@example.org", exp=NOW + 0.5)
claims("HS256", "does not say when it expires", without=["exp"])
for name in ["exp", "nbf"]:
    later = NOW + 300 if name == "exp" else NOW - 300
    for bad in [str(later), None, [later], {"$gt": 0}, True, -later, 1e300]:
        text = json.dumps({**CLAIMS, name: bad})
        say("HS256", f"{name}: {bad}", by_hand({"alg": "HS256"}, text, hs256(SECRET)))
    for bad in ["1e999", "NaN", "Infinity"]:
        text = json.dumps({**CLAIMS, name: 1}).replace(f'"{name}": 1', f'"{name}": {bad}')
        say("HS256", f"{name}: {bad}", by_hand({"alg": "HS256"}, text, hs256(SECRET)))

# by whom, for whom
claims("HS256", "another issuer", iss="https://id.example.org/")
claims("HS256", "no issuer", without=["iss"])
for name, user in [("mail", 0), (["mail"], 0), (["mail", "xmpp"], 1), ("XMPP", 0), (None, 0), ({"xmpp": 1}, 0), ([], 0), ([["xmpp"]], 0), (1, 0)]:
    text = json.dumps({**CLAIMS, "aud": name})
    token = by_hand({"alg": "HS256"}, text, hs256(SECRET))
    say("HS256", f"for {name}", token, "romeo@example.org" if user else None)
claims("HS256", "for nobody", without=["aud"])
for bad in [1, None, ["https://id.example.org"]]:
    text = json.dumps({**CLAIMS, "iss": bad})
    say("HS256", f"iss: {bad}", by_hand({"alg": "HS256"}, text, hs256(SECRET)))

# whose
for name, user in [
    ("Romeo", "romeo@example.org"),
    ("romeo@example.org", "romeo@example.org"),
    ("romeo@EXAMPLE.ORG", "romeo@example.org"),
    ("42", "42@example.org"),
    ("jürgen", "jürgen@example.org"),
    ("romeo@example.com", None),
    ("romeo@example.org@example.com", None),
    ("romeo@example.org/phone", None),
    ("romeo/phone", None),
    ("@example.org", None),
    ("example.org", "example.org@example.org"),
    ("", None),
    (" ", None),
    ("ro meo", None),
    ("romeo\0", None),
    ("x" * 1024, None),
]:
    claims("HS256", f"of {name[:40]}", user, sub=name)
claims("HS256", "of nobody", without=["sub"])
for bad in [1, None, ["romeo"], {"name": "romeo"}]:
    text = json.dumps({**CLAIMS, "sub": bad})
    say("HS256", f"sub: {bad}", by_hand({"alg": "HS256"}, text, hs256(SECRET)))

# form
deep = '{"alg":"HS256","x":' + "[" * 500 + "]" * 500 + "}"
say("HS256", "what nobody reads may be deep", by_hand(deep, CLAIMS, hs256(SECRET)), "romeo@example.org")
for what, header in [
    ("an extension", {"alg": "HS256", "crit": ["exp"], "exp": 1}),
    ("the extension of RFC 7797", {"alg": "HS256", "crit": ["b64"], "b64": False}),
    ("no algorithm", {"typ": "JWT"}),
    ("the algorithm is no text", {"alg": ["HS256"]}),
    ("two algorithms", '{"alg":"none","alg":"HS256"}'),
    ("small letters", {"alg": "hs256"}),
    ("a blank", {"alg": "HS256 "}),
    ("a header that is an array", '["HS256"]'),
    ("a header that is no JSON", "alg"),
    ("an empty header", ""),
]:
    say("HS256", what, by_hand(header, CLAIMS, hs256(SECRET)))
for what, body in [("an array", "[1]"), ("no JSON", "x"), ("nothing", ""), ("more", json.dumps(CLAIMS) + "{}"), ("deep", '{"a":' + "[" * 500 + "]" * 500 + "}")]:
    say("HS256", f"claims: {what}", by_hand({"alg": "HS256"}, body, hs256(SECRET)))
claims("HS256", "long", "romeo@example.org", more="x" * 4000)
claims("HS256", "too long", more="x" * 5000)
say("HS256", "nothing", "")
say("HS256", "dots", "..")
say("HS256", "the algorithm of base64 that is not of URLs", jwt.encode({**CLAIMS, "x": "\u00ff\u00fe??>>"}, SECRET, algorithm="HS256").replace("_", "/").replace("-", "+") + "+")
