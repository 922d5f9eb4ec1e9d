"""What happens without a human: conditions, sensors, notifications."""
