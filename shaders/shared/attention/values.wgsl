// Values as they are stored.
#import attention/values_f32 if !HALF_KEYS && ALIGNED
#import attention/values_f32_unaligned if !HALF_KEYS && !ALIGNED
#import attention/values_f16 if HALF_KEYS && ALIGNED
#import attention/values_f16_unaligned if HALF_KEYS && !ALIGNED
