"""Where a PostgreSQL is and how it is reached: the URL's parts, without I/O. No statement is sent from here."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from transhume.errors import DriverMissing, UsageError

try:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict
except ImportError as _missing:  # pragma: no cover - needs an environment without the extra
    _message = "the PostgreSQL driver is not installed; install it with: pip install 'transhume[postgres]'"
    raise DriverMissing(_message) from _missing

CONNECT_TIMEOUT_S = 10
_KEEPALIVE: dict[str, str] = {
    "connect_timeout": str(CONNECT_TIMEOUT_S),
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_LOCAL_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Address:
    """A database and a schema in it. `identity` holds no credential; `parameters` may, and is never printed."""

    identity: str
    schema: str
    parameters: dict[str, str] = field(repr=False)


def parse_url(url: str) -> Address:
    """Return the parts of `postgresql://user@host:port/database?schema=ai&...`.

    Every parameter of libpq may follow the question mark; what is missing comes from libpq's own places
    (PGPASSWORD, ~/.pgpass, service files). A remote host is reached with a verified certificate only, unless
    the URL says `sslmode=` itself: there is no silent step down to plain text.
    Raises: UsageError, without any part of the URL that could be a password.
    Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as problem:
        message = "the PostgreSQL URL cannot be read; expected postgresql://user@host:port/database?schema=name"
        raise UsageError(message) from problem
    schema = dict(pairs).get("schema") or "public"
    rest = urlunsplit(parts._replace(query=urlencode([pair for pair in pairs if pair[0] != "schema"])))
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(rest).items() if value is not None}
    except ProgrammingError:
        message = "the PostgreSQL URL holds a part that libpq does not know; see its list of connection parameters"
        raise UsageError(message) from None
    parameters = {**_KEEPALIVE, **_encryption(given), **given, "client_encoding": "UTF8"}
    return Address(_identity(given, schema), schema, parameters)


def _encryption(given: dict[str, str]) -> dict[str, str]:
    hosts = given.get("host", "").split(",")
    if "service" in given or all(host in _LOCAL_HOSTS or host.startswith(("/", "@")) for host in hosts):
        return {}
    certificates = {} if "sslrootcert" in given else {"sslrootcert": "system"}
    return {"sslmode": "verify-full", **certificates} if "sslmode" not in given else {}


def _identity(given: dict[str, str], schema: str) -> str:
    host = given.get("host") or given.get("hostaddr") or given.get("service") or "local"
    port = f":{given['port']}" if "port" in given else ""
    return f"postgresql://{host}{port}/{given.get('dbname') or given.get('user', '')}?schema={schema}"
