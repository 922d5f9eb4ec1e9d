SELECT count(*) FILTER (rank IS NULL OR rank < 1) + count(rank) - count(DISTINCT rank),
       count(*) FILTER (isnan(score))
FROM incoming;
