# C, G2: every sample twice: flips of any size are found.
train nano 12 steps on 2 workers
verify dual
at step 3: flip bit 0 in 1 matmul accumulator on worker 0
at step 6: flip bit 3 in 1 rms_norm result on worker 1
at step 9: flip bit 0 in 1 swiglu result on worker 0
expect finished, findings >= 3, digest = undisturbed
