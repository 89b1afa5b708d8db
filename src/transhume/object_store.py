"""S3 by its standard environment variables. Functions here are sent to an engine's workers by value: pyarrow alone."""

import os

from pyarrow import fs

S3 = "s3://"
_TIMEOUT_S = 20.0
_ATTEMPTS = 3


def open_s3() -> fs.FileSystem:
    """Return a client whose credentials, region and endpoint come from the environment, or the machine's own role."""
    # Credentials and region are the SDK's to find; the variable of the endpoint is not known to it here.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    attempts = fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS)
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        connect_timeout=_TIMEOUT_S,
        request_timeout=_TIMEOUT_S,
        retry_strategy=attempts,
    )


def opened(root: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a folder, by its path or `s3://bucket/prefix`, and the path in it."""
    if root.startswith(S3):
        return open_s3(), root.removeprefix(S3)
    return fs.LocalFileSystem(), root
