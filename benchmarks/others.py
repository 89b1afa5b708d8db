"""A target that is in use: the plan's tables with their keys and references, holding rows that others wrote."""

from job import Ground
from postgres_server import Server

OTHERS = {"data_sources": 1_000, "ml_models": 100_000}
"""Rows of others by target table."""
_SHAPE = "shape"
_FILL = f"""
INSERT INTO ai.data_sources (dataset_uuid, original_source_id, source_system, dataset_name, source_type, contains_pii,
                             created_at)
SELECT md5('dataset of others ' || i)::uuid, 900000000 + i, 'Elsewhere', 'dataset ' || i, 'File', false, now()
FROM generate_series(1, {OTHERS["data_sources"]}) i;
INSERT INTO ai.ml_models (model_uuid, original_source_id, model_name, algorithm_type, model_version, owner_user_id,
                          created_at, deployment_status, primary_metric_name, primary_metric_value,
                          training_dataset_uuid, model_artifact_uri, description)
SELECT md5('model of others ' || i)::uuid, 900000000 + i, 'model ' || i, 'XGBoost', 'v' || i % 9,
       md5('owner ' || i % 60)::uuid, now() - i * interval '1 minute', 'Active', 'accuracy', 0.5 + i % 1000 / 2000.0,
       md5('dataset of others ' || 1 + i % {OTHERS["data_sources"]})::uuid,
       's3://ai-artifacts-bucket/models/model_' || i || '/v1/model.pt', 'written by another team'
FROM generate_series(1, {OTHERS["ml_models"]}) i;
VACUUM ANALYZE;
"""


def make_tables_with_others(server: Server, database: str, ground: Ground) -> None:
    """Make the tables as a run of the plan makes them (`ground.prepared['shape']`), and fill in what others wrote."""
    server.run_psql(database, ground.prepared[_SHAPE])
    server.run_psql(database, _FILL)
