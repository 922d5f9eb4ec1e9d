SELECT 0, count(*) FILTER (score IS NULL OR isnan(score)) FROM incoming;
