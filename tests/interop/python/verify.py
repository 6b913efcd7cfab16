"""Judge tokens as a Python service does: PyJWT, with the keys from its PyJWKClient.

    python verify.py <jwks-url> < cases.json > verdicts.json
"""

import json
import sys

import jwt

ALGORITHMS = [
    "RS256", "RS384", "RS512",
    "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512",
    "EdDSA",
]  # fmt: skip
FETCH_TIMEOUT_SECONDS = 10


def judge(keys: jwt.PyJWKClient, case: dict) -> dict:
    """The claims of a token that passes every check."""
    key = keys.get_signing_key_from_jwt(case["token"])
    return jwt.decode(
        case["token"],
        key,
        algorithms=ALGORITHMS,
        audience=case["audience"],
        issuer=case["issuer"],
        options={"require": ["exp", "iss", "aud"]},
    )


def header(token: str) -> dict | None:
    """The header of any token, trusted or not; None where there is none."""
    try:
        return jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        return None


def verdict(keys: jwt.PyJWKClient, case: dict) -> dict:
    claims = error = None
    try:
        claims = judge(keys, case)
    except jwt.PyJWKClientConnectionError:
        raise  # says nothing about the token
    except jwt.PyJWTError as reason:
        error = f"{type(reason).__name__}: {reason}"
    return {
        "name": case["name"],
        "accepted": error is None,
        "header": header(case["token"]),
        "claims": claims,
        "error": error,
    }


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: verify.py <jwks-url>")
    keys = jwt.PyJWKClient(sys.argv[1], timeout=FETCH_TIMEOUT_SECONDS)
    try:
        # Fetched ahead, because a set without a usable key and a set without
        # the wanted key raise the same exception.
        keys.get_signing_keys()
        verdicts = [verdict(keys, case) for case in json.load(sys.stdin.buffer)]
    except (jwt.PyJWTError, ValueError, KeyError, TypeError) as failure:
        sys.exit(f"verify.py: {type(failure).__name__}: {failure}")
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main()
