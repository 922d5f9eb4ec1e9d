"""What changed since the last look, and what that asks for: the thinking behind the sensors, without Dagster."""
