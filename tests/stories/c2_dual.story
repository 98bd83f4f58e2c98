# C2, G2: every sample twice: a flip of any size in any stored result is found.
train nano 16 steps on 2 workers
verify dual
seed 2
at step 3: flip a bit in 3 rope results on worker 0
at step 5: flip 4 bits in 2 router results on worker 1
at step 7: flip a bit in 2 swiglu results on worker 0
at step 9: flip 2 bits in 2 attention_backward results on worker 1
at step 11: flip a bit in 1 cross_entropy result on worker 0
at step 13: flip a bit in 2 rms_norm_backward results on worker 1
expect finished, findings >= 1, digest = undisturbed
