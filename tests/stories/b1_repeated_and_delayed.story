# B1: answers that come twice, or late.
train nano 16 steps on 2 workers
at step 4: repeat the answer of worker 0
at step 7: delay the answer of worker 1 by 0.5 seconds
at step 10: repeat the answer of worker 1
at step 12: delay the answer of worker 0 by 3 seconds
expect finished, quarantined = 0, digest = undisturbed
