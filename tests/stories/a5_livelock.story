# A5: a worker's threads spin for ever: it uses the processor and makes no progress.
train nano 12 steps on 2 workers
at step 5 in backward: livelock worker 1 with 2 threads
expect finished, respawns >= 1, digest = undisturbed
