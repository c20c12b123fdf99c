// Keys as they are stored.
#import attention/keys_f32 if !HALF_KEYS && ALIGNED
#import attention/keys_f32_unaligned if !HALF_KEYS && !ALIGNED
#import attention/keys_f16 if HALF_KEYS && ALIGNED
#import attention/keys_f16_unaligned if HALF_KEYS && !ALIGNED
