// The output's gradient, which lies as the output does.
#import attention/upstream_aligned if ALIGNED
#import attention/upstream_unaligned if !ALIGNED
