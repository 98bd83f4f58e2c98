# C3: what the forward pass left for the backward pass changes while it waits.
train nano 12 steps on 2 workers
at step 4: flip bit 0 in 1 swiglu result on a worker
at step 6: flip bit 3 in 1 rms_norm result on a worker
at step 8: flip bit 0 in 1 linear result on a worker
expect finished, findings >= 3, digest = undisturbed
