-- ApproximateDistinct
APPROX_COUNT_DISTINCT("v"."x");

-- CodePoints
LENGTH("v"."x");

-- DecimalDifference
TRY_CAST(TRY("v"."x" - "v"."y") AS DECIMAL(38, 2));

-- DecimalFromDecimal
CASE WHEN REGEXP_FULL_MATCH(CAST("v"."x" AS TEXT), '-?[0-9]+(?:\.[0-9]{1,2}0*)?') THEN TRY_CAST(CAST("v"."x" AS TEXT) AS DECIMAL(10, 2)) END;

-- DecimalFromInteger
TRY_CAST("v"."x" AS DECIMAL(10, 2));

-- DecimalProduct
TRY_CAST(TRY((CAST(1 AS DECIMAL(19, 0)) * "v"."x") * "v"."y") AS DECIMAL(20, 4));

-- DecimalSum
TRY_CAST(TRY("v"."x" + "v"."y") AS DECIMAL(18, 2));

-- DecimalText
CAST("v"."x" AS TEXT);

-- DoubleDifference
ARRAY_EXTRACT(LIST_TRANSFORM(["v"."x" - "v"."y"], LAMBDA "d" : CASE WHEN ISFINITE("d") THEN "d" END), 1);

-- DoubleFromDecimal
CAST(CAST("v"."x" AS TEXT) AS DOUBLE);

-- DoubleFromInteger
CASE WHEN "v"."x" BETWEEN -9007199254740992 AND 9007199254740992 THEN CAST("v"."x" AS DOUBLE) END;

-- DoubleProduct
ARRAY_EXTRACT(LIST_TRANSFORM(["v"."x" * "v"."y"], LAMBDA "d" : CASE WHEN ISFINITE("d") THEN "d" END), 1);

-- DoubleSum
ARRAY_EXTRACT(LIST_TRANSFORM(["v"."x" + "v"."y"], LAMBDA "d" : CASE WHEN ISFINITE("d") THEN "d" END), 1);

-- FitsInt
"v"."x" BETWEEN -2147483648 AND 2147483647;

-- GatheredObject
'{' || STRING_AGG(CAST(JSON_QUOTE("v"."x") AS TEXT) || ':' || COALESCE(CAST(JSON_QUOTE("v"."y") AS TEXT), 'null'), ',' ORDER BY "v"."x" ASC) || '}';

-- HasNul
CONTAINS("v"."x", CHR(0));

-- InstantFromMicros
CASE WHEN "v"."x" BETWEEN -62135596800000000 AND 253402300799999999 THEN MAKE_TIMESTAMPTZ("v"."x") END;

-- InstantText
CASE WHEN EPOCH_US("v"."x") % 1000000 = 0 THEN STRFTIME(MAKE_TIMESTAMP(EPOCH_US("v"."x")), '%Y-%m-%dT%H:%M:%SZ') ELSE STRFTIME(MAKE_TIMESTAMP(EPOCH_US("v"."x")), '%Y-%m-%dT%H:%M:%S.%fZ') END;

-- IntegerDifference
TRY_CAST(CAST("v"."x" AS INT128) - CAST("v"."y" AS INT128) AS BIGINT);

-- IntegerFromDecimal
CASE WHEN "v"."x" = TRUNC("v"."x") THEN TRY_CAST("v"."x" AS BIGINT) END;

-- IntegerFromDouble
CASE WHEN "v"."x" = TRUNC("v"."x") THEN TRY_CAST("v"."x" AS BIGINT) END;

-- IntegerProduct
TRY_CAST(CAST("v"."x" AS INT128) * CAST("v"."y" AS INT128) AS BIGINT);

-- IntegerSum
TRY_CAST(CAST("v"."x" AS INT128) + CAST("v"."y" AS INT128) AS BIGINT);

-- IntegerText
CAST("v"."x" AS TEXT);

-- IsFinite
ISFINITE("v"."x");

-- IsZeroDate
REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*0000-00-00(?:[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)?[\t-\r ]*');

-- JoinReasons
LIST_AGGREGATE(["v"."x", "v"."y"], 'string_agg', CHR(10));

-- JsonKeepsValue
CASE WHEN "v"."x" IS NULL THEN NULL ELSE NOT REGEXP_MATCHES(REGEXP_REPLACE("v"."x", '\\\\', '', 'g'), '\\u0000') AND NOT REGEXP_MATCHES(REGEXP_REPLACE("v"."x", '"(?:[^"\\]|\\.)*"', '""', 'g'), '[0-9]{1000}|[eE][+-]?0*[1-9][0-9]{3}') AND (SELECT COUNT("j"."key") = COUNT(DISTINCT ("j"."parent", "j"."key")) FILTER(WHERE NOT "j"."key" IS NULL) FROM JSON_TREE(CASE WHEN JSON_VALID("v"."x") THEN "v"."x" END) AS "j") END;

-- LocalMicros
EPOCH_US("v"."x");

-- LocalYear
YEAR("v"."x");

-- OddClass
STRUCT_EXTRACT(ARRAY_EXTRACT(LIST_FILTER("v"."_odd", LAMBDA "e" : "e"."name" = 'size'), 1), 'class');

-- OddText
DECODE(STRUCT_EXTRACT(ARRAY_EXTRACT(LIST_FILTER("v"."_odd", LAMBDA "e" : ("e"."name" = 'size') AND ("e"."class" IN ('integer', 'real', 'text'))), 1), 'value'));

-- ParquetFiles
SELECT * FROM READ_PARQUET(['a', 'b'], "hive_partitioning" := FALSE);

-- ParseBoolean
CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:true|false|t|f|1|0)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS BOOLEAN) END;

-- ParseDate
CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2})[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS DATE) END;

-- ParseDecimal
COALESCE(CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:[+-]?[0-9]+(?:\.[0-9]{1,2}0*)?)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS DECIMAL(10, 2)) END, ARRAY_EXTRACT(LIST_TRANSFORM([REGEXP_EXTRACT("v"."x", '\A[\t-\r ]*([+-]?)([0-9]+)(?:\.([0-9]+))?[eE]([+-]?[0-9]+)[\t-\r ]*\z', ['sign', 'whole', 'fraction', 'exponent'])], LAMBDA "p" : CASE WHEN "p"."whole" = '' THEN CAST(NULL AS DECIMAL(10, 2)) WHEN RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0') = '' THEN CAST('0' AS DECIMAL(10, 2)) WHEN ((TRY_CAST("p"."exponent" AS INT) - LENGTH("p"."fraction") + (LENGTH(LTRIM("p"."whole" || "p"."fraction", '0')) - LENGTH(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0'))) + 2) >= 0) AND ((LENGTH(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0')) + TRY_CAST("p"."exponent" AS INT) - LENGTH("p"."fraction") + (LENGTH(LTRIM("p"."whole" || "p"."fraction", '0')) - LENGTH(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0'))) + 2) <= 10) THEN TRY_CAST("p"."sign" || LEFT(LPAD(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0') || REPEAT('0', CAST(TRY_CAST("p"."exponent" AS INT) - LENGTH("p"."fraction") + (LENGTH(LTRIM("p"."whole" || "p"."fraction", '0')) - LENGTH(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0'))) + 2 AS BIGINT)), 39, '0'), 37) || '.' || SUBSTR(LPAD(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0') || REPEAT('0', CAST(TRY_CAST("p"."exponent" AS INT) - LENGTH("p"."fraction") + (LENGTH(LTRIM("p"."whole" || "p"."fraction", '0')) - LENGTH(RTRIM(LTRIM("p"."whole" || "p"."fraction", '0'), '0'))) + 2 AS BIGINT)), 39, '0'), 38) AS DECIMAL(10, 2)) END), 1));

-- ParseDouble
CASE WHEN ISFINITE(CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS DOUBLE) END) AND ((CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS DOUBLE) END <> 0) OR REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*[+-]?0+(?:\.0+)?(?:[eE][+-]?[0-9]+)?[\t-\r ]*')) THEN CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS DOUBLE) END END;

-- ParseInstant
CASE WHEN EPOCH_US(CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6}0*)?(?:Z|[+-](?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9])?)?))[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS TIMESTAMPTZ) END) BETWEEN -62135596800000000 AND 253402300799999999 THEN CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6}0*)?(?:Z|[+-](?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9])?)?))[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS TIMESTAMPTZ) END END;

-- ParseInteger
CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:[+-]?[0-9]+)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS BIGINT) END;

-- ParseJson
CASE WHEN JSON_VALID("v"."x") AND NOT REGEXP_MATCHES(REGEXP_REPLACE("v"."x", '"(?:[^"\\]|\\.)*"', '""', 'g'), '[Nn][Aa][Nn]|[Ii][Nn][Ff]|,[ \t\r\n]*[\]}]') THEN "v"."x" END;

-- ParseTime
CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6}0*)?)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS TIME) END;

-- ParseTimestamp
CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6}0*)?)[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS TIMESTAMP) END;

-- ParseUuid
CASE WHEN REGEXP_FULL_MATCH("v"."x", '[\t-\r ]*(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})[\t-\r ]*') THEN TRY_CAST(CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END AS UUID) END;

-- RegexCapture
NULLIF(STRUCT_EXTRACT(REGEXP_EXTRACT("v"."x", '\A/([^/]+)\.([^/\.]+)\z', ['g1', 'g2']), 'g1'), '');

-- RegexMatches
REGEXP_FULL_MATCH("v"."x", '/([^/]+)\.([^/\.]+)');

-- TextLike
"v"."x" LIKE 'a%_b';

-- TimestampFromDate
CAST("v"."x" AS TIMESTAMP);

-- TrimAscii
CASE WHEN ("v"."x" >= '!') AND (ARRAY_EXTRACT("v"."x", -1) >= '!') THEN "v"."x" ELSE TRIM("v"."x", CHR(9) || CHR(10) || CHR(11) || CHR(12) || CHR(13) || CHR(32)) END;

-- Uuid5
CAST((CAST(CAST(SUBSTR(SHA1(UNHEX('6e71ae5e1dba5b35bfd4c5dc6c81afed') || ENCODE("v"."x")), 1, 32) AS UUID) AS UINT128) & CAST('340282366920937330081583660661634760703' AS UINT128)) | CAST('377798542001608471871488' AS UINT128) AS UUID);

-- UuidBytes
CAST("v"."x" AS BLOB);

-- UuidFromBytes
CAST("v"."x" AS UUID);

-- UuidText
CAST("v"."x" AS TEXT);
