# C7: a device twice as slow as the others.
train nano 40 steps on 2 workers
from step 4: slow worker 1 by 2
expect finished, quarantined = 0, digest = undisturbed
