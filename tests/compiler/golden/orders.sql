-- tables:
--   clients:
--     from: client
--     key: id
--     create: true
--     columns: {client_uuid: {uuid: id}, name: name}
--   orders:
--     from: order
--     key: [shop, number]
--     where: cancelled = false
--     create: true
--     types: {order_uuid: uuid primary key, quantity: int not null, note: text(20)}
--     join: {price: {from: prices, on: {item: item}, latest: since, none: reject}}
--     columns:
--       order_uuid: {uuid: [shop, number]}
--       quantity: quantity
--       note: note
--       amount: price.amount
--       client_uuid: {ref: client, table: clients}
--     checks: [{name: some, sql: quantity > 0}]

-- compile_transform
SELECT
  "_row",
  "shop" AS "_k0",
  "number" AS "_k1",
  CASE WHEN "v30" THEN 'filtered' WHEN "v31" THEN 'rejected' ELSE 'loaded' END AS "_fate",
  CASE
    WHEN NOT "v30"
    THEN CASE
      WHEN "v31"
      THEN JOIN_REASONS(
        CASE WHEN (
          "shop" IS NULL
        ) THEN 'null_key:shop' END,
        CASE WHEN (
          "number" IS NULL
        ) OR (
          "v9" IS NULL
        ) THEN 'null_key:number' END,
        CASE WHEN COALESCE("v27", FALSE) THEN 'ambiguous:price' END,
        CASE WHEN (
          "v28" IS NULL
        ) THEN 'no_match:price' END,
        CASE
          WHEN (
            "v10" IS NULL
          )
          AND (
            NOT COALESCE((
              "shop" IS NULL
            ) OR (
              "v9" IS NULL
            ), FALSE)
          )
          THEN 'null:shop'
        END,
        CASE WHEN "v14" THEN 'bad_encoding:quantity' END,
        CASE WHEN "v15" THEN 'blob:quantity' END,
        CASE WHEN "v16" THEN 'bad_value:quantity' END,
        CASE
          WHEN COALESCE(NOT FITS_INT("quantity"), FALSE) OR COALESCE(NOT FITS_INT("v17"), FALSE)
          THEN 'out_of_range:quantity'
        END,
        CASE WHEN "v18" THEN 'bad_integer:quantity' END,
        CASE
          WHEN (
            "v20" IS NULL
          )
          AND (
            NOT COALESCE(
              "v14"
              OR "v15"
              OR "v16"
              OR COALESCE(NOT FITS_INT("quantity"), FALSE)
              OR "v18"
              OR COALESCE(NOT FITS_INT("v17"), FALSE),
              FALSE
            )
          )
          THEN 'null:quantity'
        END,
        CASE WHEN COALESCE(HAS_NUL("note"), FALSE) THEN 'nul_character:note' END,
        CASE WHEN COALESCE(CODE_POINTS("note") > 20, FALSE) THEN 'too_long:note' END,
        CASE
          WHEN (
            NOT (
              "client" IS NULL
            )
          ) AND (
            "v24" IS NULL
          )
          THEN 'orphan:client'
        END,
        CASE WHEN (
          "v24" = 'rejected'
        ) THEN 'parent_rejected:client' END,
        CASE WHEN (
          "v24" = 'filtered'
        ) THEN 'parent_filtered:client' END,
        CASE WHEN (
          "v24" = 'deduplicated'
        ) THEN 'parent_deduplicated:client' END,
        CASE WHEN COALESCE(NOT (
          "v29" > 0
        ), FALSE) THEN 'check:some' END
      )
    END
  END AS "_reasons",
  "v10" AS "order_uuid",
  "v20" AS "quantity",
  "note",
  "v22" AS "amount",
  "v26" AS "client_uuid"
FROM (
  SELECT
    "_row",
    "shop",
    "number",
    "quantity",
    "note",
    "client",
    "v9",
    "v10",
    "v14",
    "v15",
    "v16",
    "v17",
    "v18",
    "v20",
    "v22",
    "v24",
    "v26",
    "v27",
    "v28",
    "v29",
    "v30",
    COALESCE(
      (
        "shop" IS NULL
      )
      OR (
        "number" IS NULL
      )
      OR COALESCE("v27", FALSE)
      OR (
        "v28" IS NULL
      )
      OR (
        "v9" IS NULL
      )
      OR (
        "v10" IS NULL
      )
      OR "v14"
      OR "v15"
      OR "v16"
      OR COALESCE(NOT FITS_INT("quantity"), FALSE)
      OR "v18"
      OR COALESCE(NOT FITS_INT("v17"), FALSE)
      OR (
        "v20" IS NULL
      )
      OR COALESCE(HAS_NUL("note"), FALSE)
      OR COALESCE(CODE_POINTS("note") > 20, FALSE)
      OR (
        NOT (
          "client" IS NULL
        )
      )
      AND (
        "v24" IS NULL
      )
      OR (
        "v24" = 'rejected'
      )
      OR (
        "v24" = 'filtered'
      )
      OR (
        "v24" = 'deduplicated'
      )
      OR COALESCE(NOT (
        "v29" > 0
      ), FALSE),
      FALSE
    ) AS "v31"
  FROM (
    SELECT
      "_row",
      "shop",
      "number",
      "quantity",
      "note",
      "client",
      "v9",
      "v10",
      "v14",
      "v15",
      "v16",
      "v17",
      "v18",
      "v20",
      "v22",
      "v24",
      "v26",
      "v27",
      "v28",
      CASE
        WHEN NOT COALESCE(
          "v14"
          OR "v15"
          OR "v16"
          OR COALESCE(NOT FITS_INT("quantity"), FALSE)
          OR "v18"
          OR COALESCE(NOT FITS_INT("v17"), FALSE),
          FALSE
        )
        THEN "v20"
      END AS "v29",
      "v30"
    FROM (
      SELECT
        "_row",
        "shop",
        "number",
        "quantity",
        "note",
        "client",
        "v9",
        "v10",
        "v14",
        "v15",
        "v16",
        "v17",
        "v18",
        COALESCE("v11", "v19") AS "v20",
        "v22",
        "v24",
        "v26",
        "v27",
        "v28",
        "v30"
      FROM (
        SELECT
          "_row",
          "shop",
          "number",
          "quantity",
          "note",
          "client",
          "v9",
          "v10",
          "v11",
          "v14",
          "v15",
          "v16",
          "v17",
          (
            NOT (
              "v13" IS NULL
            )
          ) AND (
            "v17" IS NULL
          ) AS "v18",
          CASE WHEN FITS_INT("v17") THEN CAST("v17" AS INT) END AS "v19",
          "v22",
          "v24",
          "v26",
          "v27",
          "v28",
          "v30"
        FROM (
          SELECT
            "_row",
            "shop",
            "number",
            "quantity",
            "note",
            "client",
            "v9",
            UUID5(
              'order' || '|' || INTEGER_TEXT(CODE_POINTS("shop")) || ':' || "shop" || '|' || INTEGER_TEXT(CODE_POINTS("v9")) || ':' || "v9",
              '6e71ae5e1dba5b35bfd4c5dc6c81afed'
            ) AS "v10",
            "v11",
            "v13",
            COALESCE("v12" = 'invalid', FALSE) AS "v14",
            COALESCE("v12" = 'blob', FALSE) AS "v15",
            COALESCE("v12" = 'refused', FALSE) AS "v16",
            PARSE_INTEGER("v13") AS "v17",
            "v22",
            "v24",
            CASE WHEN "v24" = 'loaded' THEN "v25" ELSE NULL END AS "v26",
            "v27",
            "v28",
            "v30"
          FROM (
            SELECT
              "l0"."_row",
              "l0"."shop",
              "l0"."number",
              "l0"."quantity",
              "l0"."note",
              "l0"."client",
              INTEGER_TEXT("l0"."number") AS "v9",
              CASE WHEN FITS_INT("l0"."quantity") THEN CAST("l0"."quantity" AS INT) END AS "v11",
              ODD_CLASS("l0"."_odd", 'quantity') AS "v12",
              ODD_TEXT("l0"."_odd", 'quantity') AS "v13",
              NOT COALESCE("l0"."cancelled" = FALSE, FALSE) AS "v30",
              "r21"."amount" AS "v22",
              "r21"."_k_many" AS "v27",
              "r21"."_k0" AS "v28",
              "r23"."fate" AS "v24",
              "r23"."uuid" AS "v25"
            FROM PARQUET_FILES(
              'extract_1_0.parquet'
            ) AS "l0"
            LEFT JOIN PARQUET_FILES(
              'join_price_orders.parquet'
            ) AS "r21"
              ON "r21"."_k0" = "l0"."item"
            LEFT JOIN (
              SELECT
                *,
                INTEGER_TEXT("k0") AS "k0 as text"
              FROM PARQUET_FILES(
                'parents_clients.parquet'
              ) AS "every"
            ) AS "r23"
              ON "r23"."k0 as text" = "l0"."client"
          ) AS "l1"
        ) AS "l2"
      ) AS "l3"
    ) AS "l4"
  ) AS "l5"
) AS "l6";

-- compile_join
SELECT
  "_k0",
  "_k_many",
  CASE WHEN NOT COALESCE("_k_many", FALSE) THEN "amount" END AS "amount"
FROM (
  SELECT
    "_k0",
    "amount",
    ROW_NUMBER() OVER (PARTITION BY "_k0" ORDER BY "_k_latest" DESC, "_row" ASC NULLS LAST) AS "_k_place",
    (
      NOT (
        (
          LEAD("_row") OVER (PARTITION BY "_k0" ORDER BY "_k_latest" DESC, "_row" ASC NULLS LAST)
        ) IS NULL
      )
    )
    AND COALESCE(
      LEAD("_k_latest") OVER (PARTITION BY "_k0" ORDER BY "_k_latest" DESC, "_row" ASC NULLS LAST) = "_k_latest",
      FALSE
    )
    OR (
      "_k_latest" IS NULL
    )
    AND (
      (
        LEAD("_k_latest") OVER (PARTITION BY "_k0" ORDER BY "_k_latest" DESC, "_row" ASC NULLS LAST)
      ) IS NULL
    ) AS "_k_many"
  FROM (
    SELECT
      "item" AS "_k0",
      "since" AS "_k_latest",
      "_row",
      "amount"
    FROM PARQUET_FILES(
      'extract_2_0.parquet'
    ) AS "l0"
    WHERE
      (
        NOT (
          "item" IS NULL
        )
      )
  ) AS "candidates"
) AS "ranked"
WHERE
  "_k_place" = 1
ORDER BY
  "_k0" ASC NULLS LAST;

-- compile_duplicates
SELECT
  "k0",
  "k1"
FROM (
  SELECT
    "shop" AS "k0",
    "number" AS "k1"
  FROM PARQUET_FILES(
    'extract_1_0.parquet'
  ) AS "l0"
  WHERE
    (
      NOT (
        "shop" IS NULL
      )
    )
    AND (
      NOT (
        "number" IS NULL
      )
    )
    AND (
      NOT (
        NOT COALESCE("cancelled" = FALSE, FALSE)
      )
    )
) AS "keyed"
GROUP BY
  "k0",
  "k1"
HAVING
  COUNT(*) > 1;

-- compile_parent_keys
SELECT
  "_k0" AS "k0",
  UUID_FROM_BYTES("_uuid") AS "uuid",
  CASE
    WHEN "_fate" = 'loaded'
    THEN 'loaded'
    WHEN "_fate" = 'rejected'
    THEN 'rejected'
    WHEN "_fate" = 'filtered'
    THEN 'filtered'
    WHEN "_fate" = 'deduplicated'
    THEN 'deduplicated'
  END AS "fate"
FROM PARQUET_FILES('fates') AS "l0"
WHERE
  (
    NOT (
      "_k0" IS NULL
    )
  )
ORDER BY
  "k0" ASC NULLS LAST;

-- compile_accounting
SELECT
  COUNT(*) AS "row_count"
FROM (
  SELECT
    "_row",
    COUNT("in_extract") AS "extract_count",
    COUNT("in_fates") AS "fate_count"
  FROM (
    SELECT
      "_row",
      1 AS "in_extract",
      CAST(NULL AS INT) AS "in_fates"
    FROM PARQUET_FILES(
      'extract_1_0.parquet'
    ) AS "l0"
    UNION ALL
    SELECT
      "_row",
      CAST(NULL AS INT) AS "in_extract",
      1 AS "in_fates"
    FROM PARQUET_FILES('fates') AS "l0"
  ) AS "sides"
  GROUP BY
    "_row"
  HAVING
    (
      COUNT("in_extract") <> 1
    ) OR (
      COUNT("in_fates") <> 1
    )
) AS "rows";
