-- tables:
--   staff:
--     from: employees
--     key: id
--     create: true
--     columns: {staff_uuid: {uuid: id}, boss_uuid: {ref: boss, table: staff}}

-- compile_row_fates
SELECT
  "_row",
  "id" AS "_k0",
  UUID_BYTES("v5") AS "_uuid",
  CASE WHEN "v10" THEN 'rejected' ELSE 'loaded' END AS "_fate",
  "boss" AS "_d0_k0",
  "v14" AS "_d0_lost"
FROM (
  SELECT
    "_row",
    "id",
    "boss",
    "v5",
    COALESCE(
      (
        "id" IS NULL
      )
      OR (
        "v4" IS NULL
      )
      OR (
        "v5" IS NULL
      )
      OR (
        NOT (
          "v6" IS NULL
        )
      )
      AND (
        "v7" IS NULL
      )
      OR (
        "v7" = 'rejected'
      )
      OR (
        "v7" = 'filtered'
      )
      OR (
        "v7" = 'deduplicated'
      ),
      FALSE
    ) AS "v10",
    COALESCE(
      (
        "id" IS NULL
      )
      OR (
        "v4" IS NULL
      )
      OR (
        "v5" IS NULL
      )
      OR (
        NOT (
          "v6" IS NULL
        )
      )
      AND (
        "v11" IS NULL
      )
      OR (
        "v11" = 'rejected'
      )
      OR (
        "v11" = 'filtered'
      )
      OR (
        "v11" = 'deduplicated'
      ),
      FALSE
    ) AS "v14"
  FROM (
    SELECT
      "_row",
      "id",
      "boss",
      "v4",
      UUID5(
        'employees' || '|' || INTEGER_TEXT(CODE_POINTS("v4")) || ':' || "v4",
        '6e71ae5e1dba5b35bfd4c5dc6c81afed'
      ) AS "v5",
      "v6",
      "v7",
      "v11"
    FROM (
      SELECT
        "_row",
        "id",
        "boss",
        INTEGER_TEXT("id") AS "v4",
        INTEGER_TEXT("boss") AS "v6",
        CASE WHEN (
          NOT (
            "boss" IS NULL
          )
        ) THEN 'loaded' END AS "v7",
        CASE WHEN (
          NOT (
            "boss" IS NULL
          )
        ) THEN 'rejected' END AS "v11"
      FROM PARQUET_FILES('segment') AS "l0"
    ) AS "l1"
  ) AS "l2"
) AS "l3";

-- compile_fixpoint_step, the first
SELECT
  "_row",
  "_k0"
FROM (
  SELECT
    "l0"."_row",
    "l0"."_k0",
    "l0"."_fate",
    "l0"."_d0_lost",
    "r6"."k0" AS "v7"
  FROM PARQUET_FILES('fates') AS "l0"
  LEFT JOIN (
    SELECT
      "_k0" AS "k0"
    FROM PARQUET_FILES('fates') AS "l0"
    WHERE
      "_fate" = 'loaded'
  ) AS "r6"
    ON "r6"."k0" = "l0"."_d0_k0"
) AS "l1"
WHERE
  (
    "_fate" = 'loaded'
  ) AND "_d0_lost" AND (
    "v7" IS NULL
  );

-- compile_fixpoint_step, a later one
SELECT
  "_row",
  "_k0"
FROM (
  SELECT
    "l0"."_row",
    "l0"."_k0",
    "l0"."_fate",
    "l0"."_d0_lost",
    "r6"."k0" AS "v7",
    "r8"."_row" AS "v9"
  FROM PARQUET_FILES('fates') AS "l0"
  LEFT JOIN (
    SELECT
      "_k0" AS "k0"
    FROM PARQUET_FILES('b') AS "l0"
  ) AS "r6"
    ON "r6"."k0" = "l0"."_d0_k0"
  LEFT JOIN PARQUET_FILES('a', 'b') AS "r8"
    ON "r8"."_row" = "l0"."_row"
) AS "l1"
WHERE
  (
    "_fate" = 'loaded'
  )
  AND "_d0_lost"
  AND (
    NOT (
      "v7" IS NULL
    )
  )
  AND (
    NOT (
      NOT (
        "v9" IS NULL
      )
    )
  );
