DELETE FROM audits WHERE audit = $audit;
