// Weights as they are stored, four at a time, from a buffer.
#import linear/weight4_buffer
#import linear/weight4_f32 if !HALF_WEIGHTS
#import linear/weight4_f16_packed if HALF_WEIGHTS
