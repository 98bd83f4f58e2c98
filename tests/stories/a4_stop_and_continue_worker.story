# A4: a worker is stopped and comes back with the step of before; its writes are fenced.
train nano 12 steps on 2 workers
at step 5 in backward: stop worker 1 for 3 seconds
expect finished, replays >= 1, quarantined = 0, digest = undisturbed
