"""The lake passes the conformance suite of all targets on each of its three kinds of place."""

import pytest

from tests.systems.lakes import LakePlace, local_lake, make_bucket, s3_lake, s3_server, shared_lake
from transhume.testing.targets import TargetSuite


@pytest.fixture(scope="session")
def s3_endpoint():
    """One S3 server for the session."""
    yield from s3_server()


class TestLocalLake(TargetSuite):
    """Files on disk, catalog in SQLite."""

    @pytest.fixture
    def place(self, tmp_path) -> LakePlace:
        """An empty lake of this kind."""
        return local_lake(tmp_path)


class TestSharedLake(TargetSuite):
    """Files on disk, catalog on PostgreSQL."""

    @pytest.fixture
    def place(self, tmp_path, postgres_url) -> LakePlace:
        """An empty lake of this kind."""
        return shared_lake(tmp_path, postgres_url)


class TestS3Lake(TargetSuite):
    """Files in S3, catalog on PostgreSQL."""

    @pytest.fixture
    def place(self, tmp_path, postgres_url, s3_endpoint) -> LakePlace:
        """An empty lake of this kind."""
        return s3_lake(tmp_path, postgres_url, s3_endpoint, make_bucket(s3_endpoint))
