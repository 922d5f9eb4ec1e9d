INSERT OR REPLACE INTO audits VALUES ($audit, $title, $description, $example, $definition);
