# C7: a device ten times slower than the others.
train nano 24 steps on 2 workers
from step 4: slow worker 1 by 10
expect finished, named worker 1 within 20 steps, digest = undisturbed
