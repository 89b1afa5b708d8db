-- AI_Research_DB_Legacy as the research group left it (SQLite).
--
-- Nothing enforces what is declared here: foreign keys are not switched on, `INT PRIMARY KEY` takes NULL and text,
-- and any column takes a value of any storage class. All times are local times of New York without a zone.

CREATE TABLE schema_version (
    version     INTEGER NOT NULL,
    script      VARCHAR(100),
    applied_ts  DATETIME NOT NULL
);

CREATE TABLE datasets (
    dataset_id     INTEGER PRIMARY KEY,
    dataset_name   VARCHAR(200),
    source_type    CHAR(1),           -- F file, D database, S stream, A web service
    storage_path   TEXT,
    size_mb        DECIMAL(12,4),
    row_count      INTEGER,
    column_count   INTEGER,
    tags           VARCHAR(500),      -- comma-separated
    owner_id       INT,
    contains_pii   VARCHAR(5),        -- Y/N, later yes/no, 1/0 from the import tool
    registered_on  VARCHAR(10),       -- DD.MM.YYYY
    created_ts     DATETIME,
    notes          TEXT
);

CREATE TABLE experiments (
    experiment_id    INT,             -- filled from spreadsheets: no key was ever declared
    experiment_name  VARCHAR(200) NOT NULL,
    team             VARCHAR(50),
    lead_id          INT,
    state            VARCHAR(10),     -- open, done, stop
    start_ts         DATETIME,
    end_ts           DATETIME,
    budget_usd       DECIMAL(10,2),
    hypothesis       TEXT
);

CREATE TABLE models (
    model_id        INT PRIMARY KEY,
    model_name      VARCHAR(255),
    algo_type       VARCHAR(60),
    version         VARCHAR(20),
    owner_id        INT,
    created_ts      DATETIME,
    last_mod_ts     DATETIME,
    status          VARCHAR(10),      -- D, P, R, A
    accuracy_score  FLOAT,
    dataset_id      INT REFERENCES datasets (dataset_id),
    model_path      TEXT,
    notes           TEXT,
    is_archived     INTEGER
);

CREATE TABLE training_runs (
    run_id         INTEGER PRIMARY KEY,
    run_name       VARCHAR(100),
    model_id       INT REFERENCES models (model_id),
    experiment_id  INT,
    dataset_id     INT REFERENCES datasets (dataset_id),
    parent_run_id  INT REFERENCES training_runs (run_id),   -- the run that this one continues
    user_id        INT,
    status         CHAR(1),           -- S succeeded, F failed, K killed
    host           VARCHAR(50),
    started_ts     DATETIME,
    ended_ts       DATETIME,
    gpu_hours      FLOAT,
    hyperparams    TEXT               -- JSON
);

CREATE TABLE metrics (
    metric_id     INTEGER PRIMARY KEY,
    model_id      INT REFERENCES models (model_id),
    run_id        INT REFERENCES training_runs (run_id),
    metric_name   VARCHAR(50) NOT NULL,
    metric_value  FLOAT,
    split         VARCHAR(10),        -- train, valid, test
    epoch         INTEGER,
    recorded_ts   DATETIME
);
