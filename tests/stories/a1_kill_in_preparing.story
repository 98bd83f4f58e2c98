# A1, P24: a worker dies before it has computed anything.
train nano 12 steps on 2 workers
every step in preparing, up to 1 time: kill worker 0
expect finished, respawns >= 1, digest = undisturbed
