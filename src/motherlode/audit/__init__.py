"""The audit of labels: engagement and models name the doubtful, a stronger judge and people decide."""
