"""Methods side by side on the project's own data: over seeds and budgets, with intervals."""
