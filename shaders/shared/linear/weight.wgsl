// Weights as they are stored, one at a time.
#import linear/weight_f32 if !HALF_WEIGHTS
#import linear/weight_f16 if HALF_WEIGHTS && f16
#import linear/weight_f16_packed if HALF_WEIGHTS && !f16
