"""Makes `mlflow.db`, a small tracking store, by running MLflow: trainings with tags, parents, notes and versions."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

import mlflow
from mlflow import MlflowClient

FOLDER = Path(__file__).parent
ARTIFACTS = "file:///srv/mlflow/mlruns"
"""Where models are written, as the plan's `like:` has it; the folder must be writable."""
ALGORITHMS = {
    "RF": lambda depth: RandomForestClassifier(n_estimators=10, max_depth=depth, random_state=1),
    "dt": lambda depth: DecisionTreeClassifier(max_depth=depth, random_state=1),
    "LogReg ": lambda depth: LogisticRegression(C=depth, max_iter=500),
}
OWNERS = ("asha", "bjorn", "chen", "dara")


def main() -> None:
    """Train each algorithm on each data set at some depths, a parent run around them, and register the best."""
    mlflow.set_tracking_uri(f"sqlite:///{FOLDER / 'mlflow.db'}")
    for name, load in (("iris", load_iris), ("wine", load_wine)):
        mlflow.set_experiment(experiment_id=mlflow.create_experiment(name, artifact_location=f"{ARTIFACTS}/{name}"))
        data = load(as_frame=True)
        source = mlflow.data.from_pandas(data.frame, name=name, targets="target")
        parts = train_test_split(data.data, data.target, random_state=1)
        with mlflow.start_run(run_name=f"{name} search", tags={"mlflow.user": OWNERS[0]}):
            for number, tag in enumerate(ALGORITHMS):
                for depth in (1, 2, 4):
                    train(f"{name}_classifier", tag, depth, parts, source, OWNERS[number])
    runs = MlflowClient().search_runs([e.experiment_id for e in MlflowClient().search_experiments()], max_results=1)
    MlflowClient().delete_run(runs[0].info.run_id)
    MlflowClient().delete_experiment("0")  # the one that MLflow makes by itself, never used here


def train(model_name: str, tag: str, depth: int, parts: list, source: object, owner: str) -> None:
    """Train one model inside the parent run, and log what the plan reads of it."""
    train_x, test_x, train_y, test_y = parts
    with mlflow.start_run(nested=True, tags={"algo_type": tag, "stage": "search", "mlflow.user": owner}):
        mlflow.set_tag("mlflow.note.content", f"{tag.strip()} at {depth}:\nfirst look")
        mlflow.log_params({"depth": depth, "rows": len(train_x)})
        mlflow.log_input(source, context="training")
        model = ALGORITHMS[tag](depth).fit(train_x, train_y)
        for step in range(3):
            mlflow.log_metric("loss", float("nan") if step == 0 and depth == 1 else 1 / (step + depth), step=step)
        mlflow.log_metric("accuracy", float(np.mean(model.predict(test_x) == test_y)))
        registered = model_name if depth == 4 else None  # noqa: PLR2004 - one version of each algorithm
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name=registered, serialization_format="cloudpickle"
        )


if __name__ == "__main__":
    main()
