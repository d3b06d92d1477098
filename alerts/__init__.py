"""Rules, evaluation, incidents, channels and deliveries."""
