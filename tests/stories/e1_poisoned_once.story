# E1: NaN once is a fault of the device, not of the batch.
train nano 16 steps on 2 workers
at step 6, up to 1 time: poison the batch
expect finished, skipped = 0, digest = undisturbed
