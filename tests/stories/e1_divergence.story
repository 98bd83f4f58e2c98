# E1: training that diverges whatever is skipped. Going back to before the trouble, the trusted CPU makes what was committed: it waits for its
# owner.
train nano 40 steps on 2 workers
from step 3: poison the batch
expect waiting, rollbacks = 1, quarantined = 0
