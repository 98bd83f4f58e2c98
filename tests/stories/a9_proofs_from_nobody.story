# A9: three of four are gone for good, and every proposal wants a second device: the trusted CPU gives it.
train nano 24 steps on 4 workers with guard.replay=1
from step 6 in forward, every time: kill worker 1
from step 6 in forward, every time: kill worker 2
from step 6 in forward, every time: kill worker 3
expect finished, respawns >= 3, digest = undisturbed
