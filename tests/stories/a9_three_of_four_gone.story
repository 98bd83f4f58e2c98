# A9: three of four workers are gone for ten steps, then two of them come back.
train nano 24 steps on 4 workers
steps 6 to 15 in forward, every time: kill worker 1
steps 6 to 15 in forward, every time: kill worker 2
from step 6 in forward, every time: kill worker 3
expect finished, respawns >= 3, digest = undisturbed
