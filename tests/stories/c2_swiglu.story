# C2: a stored result of swiglu is changed.
train nano 12 steps on 2 workers
at step 4: flip a high bit in 1 swiglu result on worker 0
at step 8: flip a high bit in 2 swiglu results on worker 1
expect finished, findings >= 1, digest = undisturbed
