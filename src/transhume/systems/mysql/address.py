"""Where a MySQL or MariaDB is and how it is reached: the URL's parts, without I/O. No statement is sent from here."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from transhume.errors import UsageError

CONNECT_TIMEOUT_S = 10
DEFAULT_PORT = 3306
_FORM = "mysql://user@host:port/database"
_LOCAL_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1"})
_FILES: tuple[str, ...] = ("ssl_ca", "ssl_cert", "ssl_key", "defaults_file")
_OPTIONS = ("socket", "ssl", *_FILES)
_ENCRYPTION = ("verify", "required", "disabled")


@dataclass(frozen=True, slots=True)
class Address:
    """A server and a database on it. `identity` holds no credential; `password` is never printed."""

    identity: str
    database: str
    user: str
    host: str = "localhost"
    port: int = DEFAULT_PORT
    socket: str | None = None
    encryption: str = "disabled"
    """`verify`: TLS with the server's certificate checked; `required`: TLS, whoever answers; `disabled`: none."""
    files: dict[str, str] = field(default_factory=dict)
    """Certificates and the options file, by the name of the URL's option."""
    password: str = field(default="", repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine, as far as the address tells."""
        return self.socket is not None or self.host in _LOCAL_HOSTS

    def parameters(self) -> dict[str, Any]:
        """Return what PyMySQL's connect takes.

        A password that the URL leaves out comes from `defaults_file` or MYSQL_PWD.
        Raises: UsageError where a certificate cannot be read.
        """
        password = self.password or ("" if "defaults_file" in self.files else os.environ.get("MYSQL_PWD", ""))
        found: dict[str, Any] = {
            "user": self.user or None,
            # The driver would encode a text in Latin-1.
            "password": password.encode(),
            "database": self.database,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "ssl_disabled": self.encryption == "disabled",
        }
        if self.encryption != "disabled":
            found["ssl"] = self._context()
        if self.socket is not None:
            found["unix_socket"] = self.socket
        else:
            found |= {"host": self.host, "port": self.port}
        if "defaults_file" in self.files:
            found["read_default_file"] = self.files["defaults_file"]
        return found

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.files.get("ssl_ca"))
            if "ssl_cert" in self.files:
                context.load_cert_chain(self.files["ssl_cert"], self.files.get("ssl_key"))
        except OSError as problem:
            message = f"a certificate of {self.identity} cannot be read ({problem.strerror or problem}); check ssl_ca="
            raise UsageError(message) from None
        # The certificates that servers make for themselves lack what Python 3.13 asks of one.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.encryption == "required":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_url(url: str, base: Path) -> Address:
    """Return the parts of `mysql://user@host:port/database?socket=...`; file paths are relative to `base`.

    `mariadb://` means the same. Options: `socket`, `ssl` (verify, required, disabled), `ssl_ca`, `ssl_cert`,
    `ssl_key`, `defaults_file` (its [client] group gives what the URL leaves out). A remote host is reached with a
    verified certificate only, unless the URL says `ssl=` itself: there is no silent step down to plain text.
    Raises: UsageError, without any part of the URL that could be a password.
    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    except ValueError:
        message = f"the MySQL URL cannot be read; expected {_FORM}"
        raise UsageError(message) from None
    path = parts.path.removeprefix("/")
    database = unquote(path)
    if not database or "/" in path or parts.fragment:
        message = f"the MySQL URL names no database; write {_FORM} ('/' and '#' in a name are written %2F and %23)"
        raise UsageError(message)
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        names = ", ".join(f"'{name}'" for name in unknown)
        message = f"the MySQL URL has options that transhume does not know: {names}; it knows: {', '.join(_OPTIONS)}"
        raise UsageError(message)
    socket = str(base / options["socket"]) if "socket" in options else None
    is_local = socket is not None or host in _LOCAL_HOSTS
    encryption = options.get("ssl", "disabled" if is_local and not options.keys() & {"ssl_ca"} else "verify")
    if encryption not in _ENCRYPTION:
        message = f"'ssl={encryption}' is not known in a MySQL URL; write one of: {', '.join(_ENCRYPTION)}"
        raise UsageError(message)
    files: dict[str, str] = {name: str(base / Path(options[name]).expanduser()) for name in _FILES if name in options}
    return Address(
        identity=_identity(host, port, socket, database),
        database=database,
        user=unquote(parts.username or ""),
        host=host or "localhost",
        port=port,
        socket=socket,
        encryption=encryption,
        files=files,
        password=unquote(parts.password or ""),
    )


def _identity(host: str, port: int, socket: str | None, database: str) -> str:
    if socket is not None:
        return f"mysql://localhost/{database}?socket={socket}"
    shown = "" if port == DEFAULT_PORT else f":{port}"
    return f"mysql://{host or 'localhost'}{shown}/{database}"
