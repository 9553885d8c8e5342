"""Passwords as applications store them, made by their own libraries: one JSON object a line, {password, stored, library, version}.

The costs are the lowest that each library takes where they can be chosen: what is judged is the notation, and that is the same.
Django is asked by its hashers' own names, with the parameters that it has by default lowered."""

import hashlib
import json
import secrets
import sys
from base64 import b64encode
from hmac import digest
from importlib.metadata import version as installed
from unicodedata import normalize, ucd_3_2_0

import argon2
import argon2.low_level
import bcrypt
import django
import passlib
import passlib.hash as pl
from django.conf import settings

NAMES = ["PBKDF2", "PBKDF2SHA1", "Scrypt", "Argon2", "BCrypt", "BCryptSHA256"]
settings.configure(PASSWORD_HASHERS=[f"django.contrib.auth.hashers.{name}PasswordHasher" for name in NAMES])

from django.contrib.auth import hashers  # noqa: E402
from werkzeug.security import check_password_hash, generate_password_hash  # noqa: E402

PASSWORDS = [
    "pencil",
    "x",
    "with space and $ign: {SSHA}",
    "Grüße, Jürgen",
    "пароль",
    "密码🔑",
    "\u2168 and \u00ad soft",  # SASLprep has it otherwise
    "e\u0301",  # not composed
    "a" * 71,
    "b" * 72,
    "c" * 73 + "tail",
    "ü" * 100,
]


class Scrypt(hashers.ScryptPasswordHasher):
    work_factor = 2**4


class Argon2(hashers.Argon2PasswordHasher):
    time_cost, memory_cost, parallelism = 1, 64, 2


class BCrypt(hashers.BCryptPasswordHasher):
    rounds = 4


class BCryptSHA256(hashers.BCryptSHA256PasswordHasher):
    rounds = 4


def with_django(password):
    def encode(hasher, **more):
        return hasher.encode(password, hasher.salt(), **more)

    yield encode(hashers.PBKDF2PasswordHasher(), iterations=100)
    yield encode(hashers.PBKDF2SHA1PasswordHasher(), iterations=100)
    yield encode(Scrypt())
    yield encode(Argon2())
    yield encode(BCryptSHA256())
    if len(password.encode()) <= 72:
        yield encode(BCrypt())


def with_werkzeug(password):
    for method in ["scrypt:1024:8:1", "scrypt:2048:4:3", "pbkdf2:sha1:100", "pbkdf2:sha256:100", "pbkdf2:sha512:100"]:
        yield generate_password_hash(password, method)


def with_bcrypt(password):
    # what older versions did by themselves
    raw = password.encode()[:72]
    yield bcrypt.hashpw(raw, bcrypt.gensalt(4)).decode()
    yield bcrypt.hashpw(raw, bcrypt.gensalt(4, prefix=b"2a")).decode()
    # PHP writes the same as 2y
    yield bcrypt.hashpw(raw, bcrypt.gensalt(5)).decode().replace("$2b$", "$2y$")


def with_argon2(password):
    for kind in argon2.Type:
        hasher = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=2, type=kind)
        yield hasher.hash(password)
    low = argon2.low_level.hash_secret
    salt = secrets.token_bytes(8)
    # version 16, in which the version is not written
    yield low(password.encode(), salt, 1, 32, 1, 16, argon2.Type.I, version=16).decode().replace("v=16$", "")
    yield low(password.encode(), salt, 1, 32, 1, 64, argon2.Type.ID, version=16).decode()


def with_passlib(password):
    yield pl.pbkdf2_sha1.using(rounds=100).hash(password)
    yield pl.pbkdf2_sha256.using(rounds=100).hash(password)
    yield pl.pbkdf2_sha512.using(rounds=100).hash(password)
    yield pl.ldap_pbkdf2_sha1.using(rounds=100).hash(password)
    yield pl.ldap_pbkdf2_sha256.using(rounds=100).hash(password)
    yield pl.ldap_pbkdf2_sha512.using(rounds=100).hash(password)
    yield pl.scrypt.using(rounds=4, block_size=8, parallelism=2).hash(password)
    yield pl.sha256_crypt.using(rounds=1000).hash(password)
    yield pl.sha512_crypt.using(rounds=1000).hash(password)
    yield pl.sha512_crypt.using(rounds=5000).hash(password)
    yield pl.sha512_crypt.using(rounds=1001, salt="a").hash(password)
    yield pl.ldap_sha512_crypt.using(rounds=1000).hash(password)
    yield pl.ldap_sha1.hash(password)
    yield pl.ldap_salted_sha1.hash(password)
    yield pl.ldap_salted_sha256.hash(password)
    yield pl.ldap_salted_sha512.hash(password)
    yield pl.django_salted_sha1.hash(password)


def with_hashlib(password):
    """No library stores this; PostgreSQL does (scram_SHA_256_build_secret)."""
    if any(ucd_3_2_0.category(letter) == "Cn" for letter in password):
        return  # SASLprep does not know the letter: no client logs on with it
    for name in ["sha1", "sha256", "sha512"]:
        salt = secrets.token_bytes(16)
        prepared = normalize("NFKC", password.replace("\u00ad", ""))
        salted = hashlib.pbkdf2_hmac(name, prepared.encode(), salt, 100)
        stored = hashlib.new(name, digest(salted, b"Client Key", name)).digest()
        keys = [b64encode(key).decode() for key in (stored, digest(salted, b"Server Key", name))]
        mechanism = "SCRAM-SHA-" + name.removeprefix("sha")
        yield f"{mechanism}$100:{b64encode(salt).decode()}${keys[0]}:{keys[1]}"


LIBRARIES = [
    ("Django", django.get_version(), with_django),
    ("Werkzeug", installed("werkzeug"), with_werkzeug),
    ("bcrypt", bcrypt.__version__, with_bcrypt),
    ("argon2-cffi", installed("argon2-cffi"), with_argon2),
    ("passlib", passlib.__version__, with_passlib),
    ("hashlib", sys.version.split()[0], with_hashlib),
]



def fits(library, stored, password):
    """Whether the library takes the password for what is stored."""
    match library:
        case "Django":
            if stored.startswith("bcrypt$"):  # newer ones refuse what they do not see
                password = password.encode()[:72].decode()
            return hashers.identify_hasher(stored).verify(password, stored)
        case "Werkzeug":
            return check_password_hash(stored, password)
        case "bcrypt":
            return bcrypt.checkpw(password.encode()[:72], stored.replace("$2y$", "$2b$").encode())
        case "argon2-cffi":
            return argon2.PasswordHasher().verify(stored, password)
        case "passlib":
            return next(kind for kind in PASSLIB if kind.identify(stored)).verify(password, stored)
        case "hashlib":
            return True  # there is no library to ask


PASSLIB = [
    pl.pbkdf2_sha1, pl.pbkdf2_sha256, pl.pbkdf2_sha512, pl.ldap_pbkdf2_sha1, pl.ldap_pbkdf2_sha256,
    pl.ldap_pbkdf2_sha512, pl.scrypt, pl.sha256_crypt, pl.sha512_crypt, pl.ldap_sha512_crypt, pl.ldap_sha1,
    pl.ldap_salted_sha1, pl.ldap_salted_sha256, pl.ldap_salted_sha512, pl.django_salted_sha1,
]  # fmt: skip

if sys.argv[1:] == ["judge"]:
    good = 0
    for line in map(json.loads, sys.stdin):
        if not fits(line["library"], line["stored"], line["password"]):
            print("wrong:", line)
        good += 1
    print(good, "good")
    sys.exit()

for library, version, make in LIBRARIES:
    for password in PASSWORDS:
        for stored in make(password):
            print(json.dumps({"password": password, "stored": stored, "library": library, "version": version}))
