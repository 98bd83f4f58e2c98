# E1: a batch whose loss is NaN on every device is skipped, and nothing of it is committed.
train nano 16 steps on 2 workers
at step 6: poison the batch
expect finished, skipped = 1, quarantined = 0
