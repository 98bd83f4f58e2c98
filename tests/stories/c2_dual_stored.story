# C2: stored results of ops that have no check of their own, found because every proposal is made on two devices.
train nano 20 steps on 2 workers
verify dual
at step 2: flip a high bit in 1 combine result on worker 0
at step 4: flip a bit in 1 embedding result on worker 1
at step 6: flip a bit in 1 split_columns result on worker 0
at step 8: flip a bit in 1 rms_norm result on worker 1
at step 10: flip a bit in 1 swiglu result on worker 0
at step 12: flip a bit in 1 router result on worker 1
at step 14: drop 1 combine result on worker 0
at step 16: flip bit 0 in 1 adamw result on the keeper
expect finished, findings >= 1, quarantined = 0, digest = undisturbed
