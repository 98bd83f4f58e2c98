# E1: training that diverges whatever is skipped waits for its owner.
train nano 40 steps on 2 workers
from step 3: poison the batch
expect waiting
